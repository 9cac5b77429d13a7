"""States and exponentials stay in float32 or better, whatever the inputs and the autocast context."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def accumulation_dtype(tensor: Tensor) -> torch.dtype:
    """float64 for float64 input, float32 for everything narrower."""
    return torch.promote_types(tensor.dtype, torch.float32)


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast does not narrow matrix products on the tensor's device."""
    if tensor.device.type == "meta":
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)
