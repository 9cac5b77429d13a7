"""Scalar-decay recurrence: Mamba-2, retention and simple gated linear attention."""

from armillary.core.ops.scalar_decay.cost import scalar_decay_bytes, scalar_decay_cost
from armillary.core.ops.scalar_decay.op import scalar_decay

__all__ = ["scalar_decay", "scalar_decay_bytes", "scalar_decay_cost"]
