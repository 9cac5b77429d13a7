"""Selective scan (Mamba): a diagonal linear recurrence whose decay, input and output depend on the token."""

from armillary.core.ops.selective_scan.cost import selective_scan_cost
from armillary.core.ops.selective_scan.portable import selective_scan

__all__ = ["selective_scan", "selective_scan_cost"]
