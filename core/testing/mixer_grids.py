"""Where the mixer checks run: on sequences and on grids of every rank that a mixer declares; and what only grids ask.

A grid with periodic axes may be refused with a ValueError; what a mixer accepts, it must get right.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from math import log2, prod
from typing import cast

import torch
from torch import Tensor, nn

from armillary.core.mixers.protocol import Capabilities, CostOrder, Mixer
from armillary.core.testing.sequences import (
    WrittenElements,
    assert_close,
    assert_refused,
    input_gradient,
    made,
    random_tokens,
)
from armillary.core.tokens import Grid, Tokens

Build = Callable[[], nn.Module]
Check = Callable[[Build, int], None]
RANKS = (1, 2, 3)
PLAIN: dict[int, tuple[int, ...]] = {1: (9,), 2: (3, 5), 3: (2, 3, 2)}
PERIODIC: dict[int, Grid] = {
    1: Grid((8,), (True,)),
    2: Grid((8, 3), (True, False)),
    3: Grid((4, 3, 4), (True, False, True)),
}
ODD: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((0,), (1,), (5,)),
    2: ((0, 3), (3, 0), (1, 1), (1, 7), (5, 3)),
    3: ((2, 0, 3), (1, 1, 1), (3, 1, 5)),
}
LONG: dict[int, tuple[int, ...]] = {1: (256,), 2: (64, 4), 3: (64, 2, 2)}  # check_work doubles the first extent


def flat(extents: tuple[int, ...]) -> Grid:
    """A grid without periodic axes."""
    return Grid(extents, (False,) * len(extents))


def placements(can: Capabilities) -> Iterator[Grid | None]:
    """None for a sequence, where the mixer serves one, then small grids of every rank it declares."""
    if can.sequences:
        yield None
    for rank in can.grid_ranks:
        yield flat(PLAIN[rank])
        yield PERIODIC[rank]


def everywhere(batch: int, length: int = 9) -> Callable[[Callable[[Build, Tokens], None]], Check]:
    """Makes a check of a mixer on given tokens into one on a sequence of `length` and on grids of every rank."""

    def decorate(check: Callable[[Build, Tokens], None]) -> Check:
        @wraps(check)
        def run(build: Build, width: int) -> None:
            module, can = made(build)
            for grid in placements(can):
                tokens = random_tokens(batch, length, width, can, grid=grid)
                with on(grid):
                    if accepts(module, tokens):
                        check(build, tokens)

        return run

    return decorate


@contextmanager
def on(grid: Grid | None) -> Generator[None]:
    """Tells in a failure on which grid it happened."""
    try:
        yield
    except Exception as error:
        if grid is not None:
            error.add_note(f"on a grid of extents {grid.extents}, periodic {grid.periodic}")
        raise


def accepts(module: nn.Module, tokens: Tokens) -> bool:
    """Whether the mixer takes these tokens; only a grid with periodic axes may be refused."""
    try:
        module(tokens)
    except ValueError:
        if tokens.grid is None or not any(tokens.grid.periodic):
            raise
        return False
    return True


def check_grid(build: Build, width: int) -> None:
    """Grids of other ranks, or that do not hold the tokens, are refused; extents matter; a sequence is one axis."""
    module, can = made(build)
    if not can.grid_ranks:
        _check_ignored(module, random_tokens(2, 15, width, can))
        return
    for rank in RANKS:
        tokens = random_tokens(2, 0, width, can, grid=flat(PLAIN[rank]))
        if rank not in can.grid_ranks:
            assert_refused(lambda tokens=tokens: module(tokens), f"a grid of {rank} axes")
            continue
        larger = replace(tokens, grid=flat((*PLAIN[rank][:-1], PLAIN[rank][-1] + 1)))
        assert_refused(lambda larger=larger: module(larger), f"{tokens.values.shape[1]} tokens on {larger.grid}")
        if rank == 1:
            _check_ignored(module, tokens)
        else:
            _check_extents_matter(module, random_tokens(2, 0, width, can, grid=flat((3, 5, 4)[:rank])))
    if not can.sequences:
        assert_refused(lambda: module(random_tokens(2, 9, width, can)), "tokens without a grid")


def check_odd_grids(build: Build, width: int) -> None:
    """Empty and odd extents, and an empty batch, give gradients that are finite."""
    module, can = made(build)
    for rank in can.grid_ranks:
        for batch, extents in [*((2, extents) for extents in ODD[rank]), (0, PLAIN[rank])]:
            tokens = random_tokens(batch, 0, width, can, grid=flat(extents))
            with on(tokens.grid):
                gradient = input_gradient(module, tokens)
                assert gradient.shape == tokens.values.shape, f"gradient has shape {tuple(gradient.shape)}"
                assert bool(torch.isfinite(gradient).all()), "gradient is not finite"


def check_cost(build: Build, width: int) -> None:
    """Counted cost is proportional to the batch and grows with length and extents as declared."""
    module, can = made(build)
    mixer = cast(Mixer, module)
    for rank in can.grid_ranks or (1,):
        single, triple = (_cost(mixer, batch, LONG[rank]) for batch in (2, 6))
        assert abs(triple / single - 3) < 1e-9, "cost is not proportional to the batch"
        wide, wider = (2**20,) * rank, (2**21,) * rank
        assert _cost(mixer, 1, wide) > 0, "cost is not positive"
        growth, expected = _cost(mixer, 1, wider) / _cost(mixer, 1, wide), expected_growth(can.cost_order, wide)
        # A part of the work that is linear makes "l log l" grow a little more slowly.
        least = expected_growth("l", wide) if can.cost_order == "l log l" else expected
        assert 0.99 * least < growth < 1.01 * expected, (
            f"declared {can.cost_order}, but twice the extent of each of {rank} axes costs {growth:.3f} times"
        )


def check_work(build: Build, width: int) -> None:
    """What forward and backward really write grows with the extent of an axis no faster than declared."""
    module, can = made(build)
    for rank in can.grid_ranks or (1,):
        written: list[int] = []
        for factor in (1, 2):
            extents = (factor * LONG[rank][0], *LONG[rank][1:])
            tokens = random_tokens(1, prod(extents), width, can, grid=None if rank == 1 else flat(extents))
            with WrittenElements() as counter:
                input_gradient(module, tokens)
            written.append(counter.total)
        growth = written[1] / written[0]
        # All work of "l axis" may be along the first axis, as on a sequence of as many tokens.
        limit = expected_growth(can.cost_order, (prod(LONG[rank]),))
        assert growth <= 1.05 * limit, (
            f"declared {can.cost_order}, but twice the extent of one of {rank} axes writes {growth:.2f} times as much"
        )


def expected_growth(order: CostOrder, extents: tuple[int, ...]) -> float:
    """Cost with every extent doubled over cost with these extents."""
    rank = len(extents)
    growth: dict[CostOrder, float] = {
        "l": 2.0**rank,
        "l log l": 2.0**rank * (1 + rank / log2(prod(extents))),
        "l axis": 2.0 ** (rank + 1),
        "l^2": 4.0**rank,
    }
    return growth[order]


def roll(tokens: Tokens, shifts: tuple[int, ...]) -> Tokens:
    """The tokens moved along their axes, those that leave at one end coming in at the other."""
    grid = cast(Grid, tokens.grid)
    dims = tuple(range(1, len(shifts) + 1))

    def moved(tensor: Tensor) -> Tensor:
        return tensor.unflatten(1, grid.extents).roll(shifts, dims).flatten(1, len(shifts))

    mask = None if tokens.mask is None else moved(tokens.mask)
    return replace(tokens, values=moved(tokens.values), mask=mask)


def assert_wraps(module: nn.Module, tokens: Tokens, shifts: tuple[int, ...]) -> None:
    """Rolling the tokens rolls the output: what a mixer that treats periodic axes as such should keep to."""
    expected = roll(tokens.with_values(module(tokens)[0]), shifts).values
    assert_close(module(roll(tokens, shifts))[0], expected, f"outputs of tokens rolled by {shifts}", 1e-10)


def _cost(mixer: Mixer, batch: int, extents: tuple[int, ...]) -> float:
    grid = flat(extents) if mixer.capabilities.grid_ranks else None
    return float(mixer.cost(batch, prod(extents), grid))


def _check_ignored(module: nn.Module, tokens: Tokens) -> None:
    """A grid of one plain axis is nothing but a sequence."""
    plain = replace(tokens, grid=flat((tokens.values.shape[1],)))
    assert_close(module(plain)[0], module(replace(tokens, grid=None))[0], "tokens on one axis and without a grid", 0.0)


def _check_extents_matter(module: nn.Module, tokens: Tokens) -> None:
    extents = cast(Grid, tokens.grid).extents
    turned = replace(tokens, grid=flat(extents[::-1]))
    difference = float((module(tokens)[0] - module(turned)[0]).detach().abs().max())
    assert difference > 0, f"the same tokens on extents {extents} and {extents[::-1]} give the same output"
