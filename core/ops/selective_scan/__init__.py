"""Selective scan (Mamba): a diagonal linear recurrence whose decay, input and output depend on the token."""

from armillary.core.ops.selective_scan.cost import selective_scan_bytes, selective_scan_cost
from armillary.core.ops.selective_scan.op import selective_scan
from armillary.core.ops.selective_scan.paths import grid_paths

__all__ = ["grid_paths", "selective_scan", "selective_scan_bytes", "selective_scan_cost"]
