"""Checks of what is handed to an op: one sentence that names the argument, what was expected and what was got."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad


def check_shape(op: str, name: str, tensor: Tensor | None, expected: Sequence[int], axes: str) -> None:
    """The tensor has the expected shape, or is None.

    Raises:
        ValueError: naming the op, the argument, its axes, and both shapes.
    """
    if tensor is not None and tuple(tensor.shape) != tuple(expected):
        raise ValueError(
            f"{op}: {name} has shape {tuple(tensor.shape)}, expected ({axes}) = {tuple(expected)}, "
            "as the other arguments tell."
        )


def check_rank(op: str, name: str, tensor: Tensor, rank: int, axes: str) -> None:
    """The tensor has as many axes as the letters say.

    Raises:
        ValueError: naming the op, the argument, its axes, and the shape.
    """
    if tensor.ndim != rank:
        raise ValueError(f"{op}: {name} has shape {tuple(tensor.shape)}, expected {rank} axes ({axes}).")


def check_divides(op: str, part: str, size: int, whole: str, total: int) -> None:
    """`size` parts fill `total` without rest.

    Raises:
        ValueError: naming both numbers.
    """
    if size < 1 or total % size:
        raise ValueError(f"{op}: {part} = {size} does not divide {whole} = {total}; choose one that does.")


def check_alike(op: str, **tensors: Tensor | None) -> None:
    """All tensors are floating point, lie on the device of the first, and have no tangent.

    Raises:
        ValueError: naming the argument, its dtype or device, and what was expected.
    """
    if not torch.compiler.is_compiling() and cast(Any, forward_ad)._current_level >= 0:
        _check_no_tangent(op, tensors)
    first = next(tensor for tensor in tensors.values() if tensor is not None)
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if not tensor.is_floating_point():
            raise ValueError(f"{op}: {name} has dtype {tensor.dtype}, expected a real floating-point tensor.")
        if tensor.device != first.device:
            leader = next(iter(tensors))
            raise ValueError(
                f"{op}: {name} lies on {tensor.device}, expected {first.device}, where {leader} lies; move one of them."
            )


def check_numbers(op: str, name: str, numbers: Tensor | None, leader: Tensor) -> None:
    """The tensor counts in whole numbers and lies beside the leader, or is None.

    Raises:
        ValueError: naming the argument, its dtype or device, and what was expected.
    """
    if numbers is None:
        return
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        raise ValueError(f"{op}: {name} has dtype {numbers.dtype}, expected an integer tensor.")
    if numbers.device != leader.device:
        raise ValueError(f"{op}: {name} lies on {numbers.device}, expected {leader.device}; move it.")


def _check_no_tangent(op: str, tensors: Mapping[str, Tensor | None]) -> None:
    # Kernels would drop a tangent without a word.
    for name, tensor in tensors.items():
        if tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None:
            raise ValueError(f"{op}: {name} has a tangent, and ops have no forward-mode derivative; use backward().")
