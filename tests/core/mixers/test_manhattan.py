"""Manhattan attention beside its equations, written out pair by pair."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from armillary.core.config.mixers import ManhattanSettings
from armillary.core.mixers import Manhattan
from armillary.core.testing.mixer_grids import assert_wraps
from armillary.core.testing.sequences import assert_close, random_like, reseed
from armillary.core.tokens import Grid, Tokens

WIDTH, HEADS = 8, 2


def made(**settings: object) -> Manhattan:
    reseed(0)
    base: dict[str, object] = {"heads": HEADS, "rotary": False, "local": 0}
    mixer = Manhattan(WIDTH, ManhattanSettings.model_validate(base | settings)).double()
    # The small weights of a fresh mixer would hide a mistake in the scores.
    for project in (mixer.query, mixer.key):
        torch.nn.init.normal_(project.weight)
    return mixer


def tokens_on(*extents: int, periodic: bool = False) -> Tokens:
    length = int(torch.tensor(extents).prod())
    values = random_like(torch.empty(2, length, WIDTH, dtype=torch.float64), 1)
    return Tokens(values, grid=Grid(extents, (periodic,) * len(extents)))


def heads_of(features: Tensor) -> Tensor:
    return features.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def weights(mixer: Manhattan, tokens: Tokens, distance: Tensor) -> Tensor:
    """Weights (b h q k) over the pairs whose distance is finite."""
    q, k = (heads_of(project(tokens.values)) for project in (mixer.query, mixer.key))
    decay = [math.log(1 - 2 ** -(2 + 4 * head / HEADS)) for head in range(HEADS)]
    log_decay = torch.tensor(decay, dtype=torch.float64)[:, None, None] * distance
    scores = q @ k.mT / (WIDTH // HEADS) ** 0.5
    if mixer.settings.decay == "logit":
        return (scores + log_decay).softmax(-1)
    return scores.masked_fill(distance.isinf(), -torch.inf).softmax(-1) * log_decay.exp()


def distances(extents: tuple[int, ...], axis: int | None) -> Tensor:
    """Manhattan distance of all pairs; along one axis, infinite for pairs that differ along another."""
    places = list(product(*(range(extent) for extent in extents)))

    def distance(first: tuple[int, ...], second: tuple[int, ...]) -> float:
        apart = [abs(a - b) for a, b in zip(first, second, strict=True)]
        if axis is None or sum(apart) == apart[axis]:
            return sum(apart) if axis is None else apart[axis]
        return math.inf

    return torch.tensor([[float(distance(p, q)) for q in places] for p in places], dtype=torch.float64)


@pytest.mark.parametrize("decay", ["logit", "product"])
@pytest.mark.parametrize("extents", [(5,), (3, 4), (2, 3, 2)])
def test_the_full_form_is_softmax_with_decay_over_all_pairs(decay: str, extents: tuple[int, ...]) -> None:
    mixer, tokens = made(decay=decay, decomposed=False, rank=len(extents)), tokens_on(*extents)
    mixed = weights(mixer, tokens, distances(extents, None)) @ heads_of(mixer.value(tokens.values))
    expected = mixer.out(mixed.transpose(1, 2).flatten(2))
    assert_close(mixer(tokens)[0], expected, "the mixer and its equation", 1e-12)


@pytest.mark.parametrize("decay", ["logit", "product"])
@pytest.mark.parametrize("extents", [(5,), (3, 4), (2, 3, 2)])
def test_the_decomposed_form_goes_along_the_last_axis_first(decay: str, extents: tuple[int, ...]) -> None:
    mixer, tokens = made(decay=decay, rank=len(extents)), tokens_on(*extents)
    mixed = heads_of(mixer.value(tokens.values))
    for axis in reversed(range(len(extents))):
        mixed = weights(mixer, tokens, distances(extents, axis)) @ mixed
    assert_close(mixer(tokens)[0], mixer.out(mixed.transpose(1, 2).flatten(2)), "the mixer and its equation", 1e-12)


@pytest.mark.parametrize("decomposed", [False, True])
def test_distance_and_convolution_wrap_around_periodic_axes(decomposed: bool) -> None:
    mixer = made(decomposed=decomposed, local=5)
    assert_wraps(mixer, tokens_on(4, 5, periodic=True), (1, 3))
    assert_wraps(mixer, replace(tokens_on(4, 3), grid=Grid((4, 3), (True, False))), (1, 0))


def test_the_convolution_of_values_is_added_before_the_output() -> None:
    mixer, tokens = made(local=3), tokens_on(4, 5)
    assert mixer.local is not None
    values = mixer.value(tokens.values).unflatten(1, (4, 5)).movedim(-1, 1)
    conv = mixer.local.conv
    local = functional.conv2d(values, conv.weight, conv.bias, padding=1, groups=WIDTH).flatten(2).mT
    mixer.local, full = None, mixer(tokens)[0]
    assert_close(full - mixer(tokens)[0], local @ mixer.out.weight.mT, "what the convolution adds", 1e-12)


def test_rotary_phases_follow_the_row_major_index() -> None:
    line, plane = made(rank=None, rotary=True, decomposed=False), tokens_on(3, 1)
    alone = line(replace(plane, grid=None))[0]
    assert_close(line(plane)[0], alone, "three tokens in a column and in a row", 1e-12)
    assert float((alone - made(rank=None, decomposed=False)(plane)[0]).detach().abs().max()) > 1e-3


def test_projections_start_small() -> None:
    mixer = Manhattan(256, ManhattanSettings())
    for project in (mixer.query, mixer.key, mixer.value):
        assert abs(float(project.weight.detach().std()) / (2**-2.5 / 16) - 1) < 0.02
    assert abs(float(mixer.out.weight.detach().std()) * 16 - 1) < 0.02


def test_counted_cost_is_projections_passes_and_convolution() -> None:
    grid = Grid((3, 5), (False, False))
    assert made(local=3).cost(2, 15, grid) == 2 * 15 * WIDTH * (4 * WIDTH + 2 * (3 + 5) + 9)
    assert made(decomposed=False).cost(1, 15, grid) == 15 * WIDTH * (4 * WIDTH + 2 * 15)


def test_an_even_convolution_is_refused() -> None:
    with pytest.raises(ValueError, match="local=4 has no centre token"):
        ManhattanSettings(local=4)
