"""One token of each row through a whole Mamba layer."""

from armillary.core.ops.mamba_step.cost import mamba_step_bytes, mamba_step_cost
from armillary.core.ops.mamba_step.op import mamba_step

__all__ = ["mamba_step", "mamba_step_bytes", "mamba_step_cost"]
