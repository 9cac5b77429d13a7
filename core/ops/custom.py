"""Kernels as torch operators, so that autograd, torch.compile, autocast and vmap see one opaque call.

A tier defines a forward and a backward operator, tells torch their shapes with `op.register_fake`, and joins them
with `forward.register_autograd(backward, setup_context=...)`. Backward operators have no gradient of their own:
a kernel is once differentiable.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor


def custom_op(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: registers armillary::name. The function has plain annotations (Tensor, int, float, bool, lists),
    writes to none of its arguments and returns new tensors; under vmap it is called once a slice.
    """

    def register(function: Callable[..., Any]) -> Any:
        op = cast(Any, torch.library.custom_op(f"armillary::{name}", function, mutates_args=()))
        op.register_vmap(_looped(op))
        return op

    return register


def _looped(op: Callable[..., Any]) -> Callable[..., Any]:
    """A vmap rule that calls the op for each slice: the kernels' own batch axis is where speed comes from."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        results = [op(*_slice(arguments, in_dims, index)) for index in range(info.batch_size)]
        if isinstance(results[0], Tensor):
            return torch.stack(results), 0
        joined = tuple(torch.stack(parts) for parts in zip(*results, strict=True))
        return joined, (0,) * len(joined)

    return rule


def _slice(arguments: tuple[Any, ...], in_dims: tuple[int | None, ...], index: int) -> list[Any]:
    # Lists of numbers come with a list of dims, which says nothing more than None does.
    return [
        argument.select(dim, index) if isinstance(dim, int) else argument
        for argument, dim in zip(arguments, in_dims, strict=True)
    ]
