"""What activations with parameters share: joining their operators, and walking over pieces that stay in the cache."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

PIECE = 1 << 17  # numbers of a piece on a CPU; elsewhere there is no cache to stay in, only memory to save
LARGE_PIECE = 1 << 24


def row_pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views (rows, d) of the same rows of each contiguous tensor, some rows at a time; none of empty tensors."""
    if tensors[0].numel() == 0:
        return iter(())
    width = tensors[0].shape[-1]
    rows = max(1, (PIECE if tensors[0].device.type == "cpu" else LARGE_PIECE) // width)
    return zip(*(tensor.view(-1, width).split(rows) for tensor in tensors), strict=True)


def join(forward: Any, backward: Any) -> None:
    """Tell torch the shapes of both operators and that one is the gradient of the other.

    forward(x, *parameters, *options) gives y; backward(grad, x, *parameters, *options) gives the gradients of the
    tensors, in their order; options are plain numbers. The tensors are kept for the backward pass, and nothing else.
    """

    def shape(x: Tensor, *others: Any) -> Tensor:
        return torch.empty_like(x)

    def shapes(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(value) for value in inputs if isinstance(value, Tensor))

    def save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))
        ctx.options = tuple(value for value in inputs if not isinstance(value, Tensor))

    def gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        found = backward(grad, *ctx.saved_tensors, *ctx.options)
        return (*found, *(None for _ in ctx.options))

    forward.register_fake(shape)
    backward.register_fake(shapes)
    forward.register_autograd(gradients, setup_context=save)
