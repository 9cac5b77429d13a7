"""What the fused streaming steps of whole layers share: when they can serve a call, and how they see their tensors."""

from collections.abc import Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from armillary.core.ops.checks import check_alike, check_shape

_core = cast(Any, torch).__dict__["_C"]
_PLAIN = (Tensor, nn.Parameter)


def fusing_problem(tensors: Collection[Tensor | None]) -> str | None:
    """Why a kernel that torch does not see cannot serve these tensors; None if it can."""
    if torch.compiler.is_compiling() or _core._are_functorch_transforms_active() or _core._len_torch_dispatch_stack():
        return "the fused step cannot be traced or mapped"
    if any(tensor is not None and type(tensor) not in _PLAIN for tensor in tensors):
        return "the fused step reads plain tensors only"
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return "the fused step has no gradient; a loop under torch.no_grad() can use it"
    return None


def check_step(
    op: str, tensors: Mapping[str, Tensor | None], expected: Mapping[str, tuple[str, tuple[int, ...]]]
) -> None:
    """Every tensor has the axes and shape that `expected` names, is real, and lies where the first one lies; the
    convolution has a tap.

    Raises:
        ValueError: naming the argument, what was expected and what was got.
    """
    weight = cast(Tensor, tensors["conv_weight"])
    if weight.shape[1] < 1:
        raise ValueError(f"{op}: conv_weight has shape {tuple(weight.shape)}, expected at least one tap.")
    for name, (axes, shape) in expected.items():
        tensor = tensors[name]
        if tensor is not None and tensor.shape != shape:
            check_shape(op, name, tensor, shape, axes)
    check_alike(op, **tensors)


def as_plain(tensor: Tensor | None) -> Tensor | None:
    """The tensor as a kernel reads it: float32, contiguous."""
    if tensor is None or (tensor.dtype is torch.float32 and tensor.is_contiguous()):
        return tensor
    return tensor.float().contiguous()
