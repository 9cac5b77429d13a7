"""Attention in groups: the fast form, the plain one and the sums of the formula are the same."""

import pytest
import torch
from torch import Tensor

from armillary.core.mixers.dropout import draw_kept
from armillary.core.mixers.grouped import Keys, _batched, grouped_attention
from armillary.core.ops.products import is_fast
from armillary.core.testing import relative_rms

GROUP = 5
LIMIT = 2e-6  # float32, relative RMS


def random_keys(length: int, dtype: torch.dtype = torch.float64, batch: int = 2) -> tuple[Keys, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    sizes = [*[(batch, length, 3)] * 4, (batch, length, 8), (batch, 3, 8)]
    *keys, values, sums = (torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes)
    return Keys(*keys), values, sums


def by_formula(keys: Keys, values: Tensor, sums: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """One token after another."""
    mixed, length = torch.zeros_like(values), values.shape[1]
    outer = keys.far_keys[..., None] * values[:, :, None]
    for i in range(length):
        first = i // GROUP * GROUP
        last = i + 1 if causal else min(first + GROUP, length)
        for j in range(first, last):
            score = (keys.near_queries[:, i] * keys.near_keys[:, j]).sum(-1, keepdim=True)
            mixed[:, i] += score.relu() ** 2 * values[:, j]
        seen = sums + outer[:, : first if causal else length].sum(1)
        mixed[:, i] += (keys.far_queries[:, i, :, None] * seen).sum(1)
    return mixed, sums + outer[:, : length // GROUP * GROUP if causal else length].sum(1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 4, 5, 13, 20])
def test_the_plain_form_is_the_formula(length: int, causal: bool) -> None:
    keys, values, sums = random_keys(length)
    found = grouped_attention(keys, values, sums, group=GROUP, causal=causal)
    for one, other in zip(found, by_formula(keys, values, sums, causal), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.skipif(not is_fast(torch.ones(1)), reason="torch has no oneDNN here")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 4, 5, 13, 20])
def test_values_and_gradients_of_the_fast_form_are_those_of_the_plain_one(length: int, causal: bool) -> None:
    def results(dtype: torch.dtype) -> list[Tensor]:
        keys, values, sums = random_keys(length, dtype)
        leaves = [leaf.requires_grad_() for leaf in (*keys, values, sums)]
        mixed, total = grouped_attention(Keys(*leaves[:4]), *leaves[4:], group=GROUP, causal=causal)
        upstream = [torch.linspace(-1, 2, y.numel()).view(y.shape).to(dtype) for y in (mixed, total)]
        return [mixed, total, *torch.autograd.grad((mixed, total), leaves, upstream)]

    for one, other in zip(results(torch.float32), results(torch.float64), strict=True):
        assert relative_rms(one.detach(), other.detach()) < LIMIT


@pytest.mark.skipif(not is_fast(torch.ones(1)), reason="torch has no oneDNN here")
@pytest.mark.parametrize("causal", [False, True])
def test_dropout_of_the_fast_form_thins_the_weights_and_their_gradients(causal: bool) -> None:
    def thinned(keys: Keys, values: Tensor, kept: Tensor, scale: float) -> Tensor:
        """The part within groups, group after group."""
        parts = []
        for first in range(0, 12, GROUP):
            span = slice(first, min(first + GROUP, 12))
            weights = (keys.near_queries[:, span] @ keys.near_keys[:, span].mT).relu().square()
            weights = weights * kept[:, span, : weights.shape[1]] * scale
            parts.append((weights.tril() if causal else weights) @ values[:, span])
        return torch.cat(parts, 1)

    found: list[list[Tensor]] = []
    for dtype in (torch.float32, torch.float64):
        keys, values, sums = random_keys(12, dtype, batch=1)
        keys, sums = keys._replace(far_keys=0 * keys.far_keys), 0 * sums
        leaves = [leaf.requires_grad_() for leaf in (keys.near_queries, keys.near_keys, values)]
        torch.manual_seed(3)
        if dtype == torch.float32:
            mixed = grouped_attention(keys, values, sums, group=GROUP, causal=causal, dropout=0.5)[0]
        else:
            mixed = thinned(keys, values, *draw_kept(torch.zeros(1, 12, GROUP), 0.5))
        upstream = torch.linspace(-1, 2, mixed.numel()).view(mixed.shape).to(dtype)
        found.append([mixed.detach(), *torch.autograd.grad(mixed, leaves, upstream)])
    for one, other in zip(*found, strict=True):
        assert relative_rms(one, other) < LIMIT


def test_weights_are_thinned_in_the_plain_form_too() -> None:
    keys, values, sums = random_keys(20)
    torch.manual_seed(0)
    thinned = [_batched(keys, values, sums, GROUP, False, 0.5)[0] for _ in range(400)]
    whole, mean = _batched(keys, values, sums, GROUP, False, 0.0)[0], torch.stack(thinned).mean(0)
    assert relative_rms(mean, whole) < 0.1
    assert relative_rms(thinned[0], whole) > 0.1


def test_no_tokens_leave_the_sums_as_they_are() -> None:
    keys, values, sums = random_keys(0)
    mixed, total = grouped_attention(keys, values, sums, group=GROUP, causal=True)
    assert mixed.shape == (2, 0, 8)
    assert torch.equal(total, sums)
