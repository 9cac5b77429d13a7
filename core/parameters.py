"""Parameters with a word to the optimiser."""

from torch import Tensor, nn


def undecayed(values: Tensor) -> nn.Parameter:
    """A parameter that the optimiser excludes from weight decay."""
    parameter = nn.Parameter(values)
    setattr(parameter, "no_weight_decay", True)  # noqa: B010  the optimiser reads this mark; torch declares no such field
    return parameter
