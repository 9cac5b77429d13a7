"""Kernels as torch operators, so that autograd, torch.compile, autocast and vmap see one opaque call.

A tier defines a forward and a backward operator, tells torch their shapes with `op.register_fake`, and joins them
with `forward.register_autograd(backward, setup_context=...)`. An operator without a gradient, as every backward one,
refuses to be differentiated: a kernel is once differentiable.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor


def custom_op(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: registers armillary::name. The function has plain annotations (Tensor, int, float, bool, lists),
    writes to none of its arguments and returns new tensors; under vmap it is called once a slice. Until it is told
    its gradient, differentiating it raises RuntimeError.
    """

    def register(function: Callable[..., Any]) -> Any:
        op = cast(Any, torch.library.custom_op(f"armillary::{name}", function, mutates_args=()))
        op.register_vmap(_looped(op))
        op.register_autograd(_refusal(name))
        return op

    return register


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError(
            f"armillary::{name} has no gradient: the ops are once differentiable; "
            "for second derivatives set ARMILLARY_OPS=reference."
        )

    return refuse


def _looped(op: Callable[..., Any]) -> Callable[..., Any]:
    """A vmap rule that calls the op for each slice: the kernels' own batch axis is where speed comes from."""

    def rule(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        # Of an empty axis a slice of zeros tells the shapes.
        indices = range(info.batch_size) or [None]
        results = [op(*_slice(arguments, in_dims, index)) for index in indices]
        if isinstance(results[0], Tensor):
            return torch.stack(results)[: info.batch_size], 0
        joined = tuple(torch.stack(parts)[: info.batch_size] for parts in zip(*results, strict=True))
        return joined, (0,) * len(joined)

    return rule


def _slice(arguments: tuple[Any, ...], in_dims: tuple[Any, ...], index: int | None) -> list[Any]:
    def one(argument: Any, dim: Any) -> Any:
        # Lists of numbers come with a list of dims, which says nothing more than None does.
        if not isinstance(dim, int):
            return argument
        return argument.sum(dim, dtype=argument.dtype) if index is None else argument.select(dim, index)

    return list(map(one, arguments, in_dims))
