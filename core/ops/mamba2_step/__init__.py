"""One token of each row through a whole Mamba-2 layer."""

from armillary.core.ops.mamba2_step.cost import mamba2_step_bytes, mamba2_step_cost
from armillary.core.ops.mamba2_step.op import mamba2_step

__all__ = ["mamba2_step", "mamba2_step_bytes", "mamba2_step_cost"]
