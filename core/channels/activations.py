"""Activations by name."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional

from armillary.core.config.channels import Activation

ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}
