"""Retention against the sums of its paper, and what its decay and rotation mean."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from armillary.core.config.mixers import RetentionSettings
from armillary.core.embeddings.rotary import apply_rotary
from armillary.core.errors import ConfigError
from armillary.core.mixers import Retention
from armillary.core.tokens import Tokens

WIDTH, HEADS = 12, 3


def signal(length: int = 19) -> Tensor:
    return torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def retained(mixer: Retention, values: Tensor) -> Tensor:
    """The published parallel form: (Q K^T ∘ D) V, group norm, gate."""
    settings, length = mixer.settings, values.shape[1]
    q, k, v = (
        project(values).unflatten(-1, (HEADS, -1)).transpose(1, 2) for project in (mixer.query, mixer.key, mixer.value)
    )
    places = torch.arange(length, dtype=torch.float64).expand(2, -1)
    if settings.rotary:
        q, k = apply_rotary(q, places), apply_rotary(k, places)
    distance = places[0][:, None] - places[0]
    gamma = (1 - 2.0 ** (-5 - torch.arange(HEADS, dtype=torch.float64)))[:, None, None]
    decay = gamma ** distance.abs()
    scores = q @ k.mT / 2 * (decay.tril() if settings.causal else decay)
    normed = functional.group_norm(
        (scores @ v).transpose(1, 2).flatten(0, 1).flatten(1), HEADS, mixer.norm_weight, mixer.norm_bias
    ).view(2, length, -1)
    return mixer.out(functional.silu(mixer.gate(values)) * normed)


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both ways"])
@pytest.mark.parametrize("rotary", [True, False], ids=["rotary", "plain"])
def test_it_equals_the_parallel_form_of_the_paper(causal: bool, rotary: bool) -> None:
    settings = RetentionSettings(heads=HEADS, causal=causal, rotary=rotary, expand=2, chunk=5)
    mixer = Retention(WIDTH, settings).double()
    torch.testing.assert_close(mixer(Tokens(signal()))[0], retained(mixer, signal()))


def test_a_masked_gap_is_as_if_it_were_not_there() -> None:
    mixer = Retention(WIDTH, RetentionSettings(heads=HEADS)).double()
    mask = torch.ones(2, 19, dtype=torch.bool)
    mask[:, 7:11] = False
    without = mixer(Tokens(torch.cat([signal()[:, :7], signal()[:, 11:]], 1)))[0]
    torch.testing.assert_close(mixer(Tokens(signal(), mask=mask))[0][:, mask[0]], without)


def test_reversing_time_reverses_retention_both_ways_without_rotation() -> None:
    mixer = Retention(WIDTH, RetentionSettings(heads=HEADS, causal=False, rotary=False)).double()
    torch.testing.assert_close(mixer(Tokens(signal().flip(1)))[0].flip(1), mixer(Tokens(signal()))[0])


def test_the_state_of_the_slowest_head_forgets_least() -> None:
    mixer = Retention(WIDTH, RetentionSettings(heads=HEADS)).double()
    state = mixer(Tokens(signal()))[1]
    quiet = Tokens(torch.zeros(2, 40, WIDTH, dtype=torch.float64))
    after = mixer(quiet, state)[1]
    kept = (after.heads / state.heads).mean((0, 2, 3))
    torch.testing.assert_close(kept, (1 - 2.0 ** (-5 - torch.arange(HEADS, dtype=torch.float64))) ** 40)
    assert after.lengths.tolist() == [59, 59]


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="retention at width 12 cannot have 5 heads"):
        Retention(WIDTH, RetentionSettings(heads=5))


def test_retention_both_ways_refuses_a_state() -> None:
    state = Retention(WIDTH, RetentionSettings(heads=HEADS)).double()(Tokens(signal()))[1]
    with pytest.raises(ValueError, match="not causal"):
        Retention(WIDTH, RetentionSettings(heads=HEADS, causal=False)).double()(Tokens(signal()), state)


def test_packed_sequences_both_ways_do_not_see_each_other() -> None:
    mixer = Retention(WIDTH, RetentionSettings(heads=HEADS, causal=False)).double()
    packed = replace(Tokens(signal()), segments=(torch.arange(19) >= 8).long().expand(2, -1))
    alone = torch.cat([mixer(Tokens(signal()[:, :8]))[0], mixer(Tokens(signal()[:, 8:]))[0]], 1)
    torch.testing.assert_close(mixer(packed)[0], alone)
