"""Random tokens, and the comparisons that the mixer checks are made of."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from armillary.core.mixers.protocol import Capabilities, Mixer
from armillary.core.testing.ops import relative_rms
from armillary.core.tokens import Grid, Tokens


def made(build: Callable[[], nn.Module], seed: int = 0) -> tuple[nn.Module, Capabilities]:
    """A mixer built anew from the seed, in float64 and evaluation mode, and what it declares."""
    reseed(seed)
    module = build().double().eval()
    return module, cast(Mixer, module).capabilities


def reseed(seed: int) -> None:
    """Seed torch's own generator, which initialisation and dropout draw from."""
    cast(Any, torch).manual_seed(seed)


def random_like(tensor: Tensor, seed: int) -> Tensor:
    """Standard normal values of the shape and dtype of a tensor, from the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype, device="cpu")


def random_tokens(
    batch: int, length: int, width: int, can: Capabilities, seed: int = 2, grid: Grid | None = None
) -> Tokens:
    """float64 tokens, at irregular times where the mixer reads them; with a grid, as many as it holds."""
    length = length if grid is None else prod(grid.extents)
    values = random_like(torch.empty(batch, length, width, dtype=torch.float64), seed)
    times = random_like(torch.empty(batch, length, 1, dtype=torch.float64), seed + 1).abs().cumsum(1)
    return Tokens(values, positions=times if can.irregular_positions else None, grid=grid)


def placings(tokens: Tokens) -> Iterator[Tokens]:
    """The tokens where they lie, and where they have irregular positions also without them."""
    yield tokens
    if tokens.positions is not None:
        yield replace(tokens, positions=None)


def span(tokens: Tokens, first: int, last: int, row: int | None = None) -> Tokens:
    """Tokens first to last - 1 of one row, or of all."""
    rows = slice(None) if row is None else slice(row, row + 1)
    parts = (tokens.mask, tokens.positions, tokens.segments)
    mask, positions, segments = (None if part is None else part[rows, first:last] for part in parts)
    return Tokens(tokens.values[rows, first:last], mask=mask, positions=positions, segments=segments)


def joined(parts: Sequence[Tokens]) -> Tokens:
    """Values and positions of several tokens one after another."""
    positions = [part.positions for part in parts if part.positions is not None]
    return Tokens(
        torch.cat([part.values for part in parts], 1), positions=torch.cat(positions, 1) if positions else None
    )


def in_pieces(module: nn.Module, tokens: Tokens, cuts: Sequence[int]) -> Tensor:
    """Outputs of a sequence given in pieces, by `step` where a piece is one token."""
    state: Any = None
    outputs: list[Tensor] = []
    first = 0
    for cut in cuts:
        piece = span(tokens, first, first + cut)
        values, state = cast(Mixer, module).step(piece, state) if cut == 1 else module(piece, state)
        outputs.append(values)
        first += cut
    return torch.cat(outputs, 1)


def loss_of(values: Tensor) -> Tensor:
    """A sum with fixed random weights, so that no two outputs can stand for each other."""
    return (values * random_like(values, 7).to(values.dtype)).sum()


def input_gradient(module: nn.Module, tokens: Tokens, kept: slice = slice(None)) -> Tensor:
    """Gradient of the loss of the kept outputs with respect to the input values; parameters get theirs as well."""
    module.zero_grad()
    values = tokens.values.detach().clone().requires_grad_()
    torch.autograd.backward([loss_of(module(replace(tokens, values=values))[0][:, kept])])
    return torch.zeros_like(values) if values.grad is None else values.grad


class WrittenElements(TorchDispatchMode):
    """Counts the elements of every result torch computes inside it, in forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.total += sum(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result


def assert_close(actual: Tensor, expected: Tensor, what: str, limit: float) -> None:
    """The relative RMS difference is finite and at most the limit."""
    assert actual.shape == expected.shape, f"{what}: shapes {tuple(actual.shape)} and {tuple(expected.shape)} differ"
    assert bool(torch.isfinite(actual).all()), f"{what}: values are not finite"
    error = relative_rms(actual.detach(), expected.detach())
    assert error <= limit, f"{what} differ by {error:.2e}, limit {limit:.0e}"


def assert_same(actual: Tensor, expected: Tensor, what: str) -> None:
    """Equal bit for bit."""
    assert torch.equal(actual, expected), f"{what} differ by {float((actual - expected).abs().max()):.2e}, expected 0"


def assert_refused(call: Callable[[], object], what: str) -> None:
    """The call raises ValueError."""
    try:
        call()
    except ValueError:
        return
    raise AssertionError(f"declared unable to take {what}, yet accepts it; expected a ValueError")
