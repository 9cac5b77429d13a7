"""Numeric kernels: one public call an op, the same in every tier."""

from armillary.core.ops.scalar_decay import scalar_decay, scalar_decay_cost
from armillary.core.ops.selective_scan import selective_scan, selective_scan_cost

__all__ = ["scalar_decay", "scalar_decay_cost", "selective_scan", "selective_scan_cost"]
