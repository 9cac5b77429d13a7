"""Gated attention by its formula, its parameters as published, and what its settings mean."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import GatedAttentionSettings
from armillary.core.errors import ConfigError
from armillary.core.mixers.conv_map import ConvMap
from armillary.core.mixers.gated_attention import GatedAttention, turned
from armillary.core.tokens import Tokens

WIDTH, GROUP = 8, 4
SMALL = {"query_width": 6, "group": GROUP, "kernel": 5, "rotary_width": 4}


def _mixer(**settings: object) -> GatedAttention:
    torch.manual_seed(0)
    mixer = GatedAttention(WIDTH, GatedAttentionSettings.model_validate(SMALL | settings)).double().eval()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return mixer


def _values(*shape: int) -> Tensor:
    return 1 + 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _mapped(part: ConvMap, x: Tensor, causal: bool) -> Tensor:
    """ConvM with torch's own layers."""
    normed = x / (x.norm(dim=-1, keepdim=True) * x.shape[-1] ** -0.5) * part.norm_scale
    y = functional.silu(part.linear(normed))
    reach = part.taps - 1
    padded = functional.pad(y.mT, (reach, 0) if causal else (reach // 2, reach // 2))
    return y + functional.conv1d(padded, part.weight[:, None], groups=len(part.weight)).mT


def _by_formula(mixer: GatedAttention, x: Tensor, causal: bool) -> Tensor:
    """Token by token, one row."""
    length = x.shape[1]
    shifted = torch.cat([functional.pad(x[..., : WIDTH // 2], (0, 0, 1, -1)), x[..., WIDTH // 2 :]], -1)
    hidden, narrow = (_mapped(part, shifted, causal) for part in (mixer.hidden, mixer.query))
    q, far_q, k, far_k = (
        turned((narrow * scale + shift)[:, None], 4, 10000.0)[:, 0]
        for scale, shift in zip(mixer.scales, mixer.shifts, strict=True)
    )
    mixed = torch.zeros_like(hidden)
    for i in range(length):
        first = i // GROUP * GROUP
        near = range(first, i + 1 if causal else min(first + GROUP, length))
        for j in near:
            mixed[:, i] += ((q[:, i] * k[:, j]).sum(-1, keepdim=True) / GROUP).relu() ** 2 * hidden[:, j]
        for j in range(first if causal else length):
            weight = (far_q[:, i] * far_k[:, j]).sum(-1, keepdim=True) / (GROUP if causal else length)
            mixed[:, i] += weight * hidden[:, j]
    (v, u), (mixed_v, mixed_u) = hidden.chunk(2, -1), mixed.chunk(2, -1)
    return _mapped(mixer.out, mixed_u * v * (mixed_v * u).sigmoid(), causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [3, 4, 11])
def test_it_is_its_formula(length: int, causal: bool):
    mixer, x = _mixer(causal=causal), _values(1, length, WIDTH)
    assert_close(mixer(Tokens(x))[0], _by_formula(mixer, x, causal))


def test_at_the_published_sizes_it_has_the_published_parameters():
    with torch.device("meta"):
        mixer = GatedAttention(512, GatedAttentionSettings())
    assert sum(parameter.numel() for parameter in mixer.parameters()) == 1_687_811


def test_single_and_double_precision_agree_in_values_and_gradients():
    single, double = _mixer().float(), _mixer()
    found = []
    for mixer in (single, double):
        x = _values(2, 11, WIDTH).to(mixer.scales.dtype).requires_grad_()
        y = mixer(Tokens(x))[0]
        found.append((y, *torch.autograd.grad(y.square().sum(), (x, *mixer.parameters()))))
    for one, other in zip(*found, strict=True):
        assert_close(one.double(), other, rtol=1e-3, atol=1e-5 * float(other.detach().abs().max()))


def test_the_sum_is_over_the_real_tokens_of_a_row():
    mixer, x = _mixer(), _values(2, 11, WIDTH)
    mask = torch.arange(11) < torch.tensor([[11], [6]])
    assert_close(mixer(Tokens(x, mask))[0][1:, :6], mixer(Tokens(x[1:, :6]))[0])


def test_rotary_positions_count_by_difference_alone():
    x = _values(1, 2, 5, 6)
    here, there = (turned(x, 4, 10000.0, torch.tensor([count])) for count in (0, 3_600_000))
    assert_close(here[:, 0] @ here[:, 1].mT, there[:, 0] @ there[:, 1].mT)
    assert torch.equal(here[..., 4:], x[..., 4:])


def test_an_hour_into_a_stream_single_precision_turns_as_double_does():
    x, count = _values(1, 2, 5, 6), torch.tensor([3_600_000])
    assert_close(turned(x.float(), 4, 10000.0, count).double(), turned(x, 4, 10000.0, count), rtol=1e-5, atol=1e-5)


def test_a_state_is_no_longer_than_a_group_and_its_histories():
    mixer, state = _mixer(causal=True), None
    for length in (9, 1, 1, 1, 1, 3):
        _, state = mixer(Tokens(_values(2, length, WIDTH)), state)
        assert state is not None
        assert state.groups.values.shape[1] == int(state.groups.counts[0]) % GROUP
    assert state.hidden.shape[1] == 4
    assert state.groups.counts.tolist() == [16, 16]


def test_rows_that_stand_at_different_places_of_their_groups_go_on_each_by_itself():
    mixer, x = _mixer(causal=True), _values(3, 13, WIDTH)
    lengths = (5, 2, 4)
    _, state = mixer(Tokens(x[:, :5], torch.arange(5) < torch.tensor(lengths)[:, None]))
    pieces = []
    for piece in x[:, 5:].split([1, 6, 1], 1):
        values, state = mixer(Tokens(piece), state)
        pieces.append(values)
    for row, length in enumerate(lengths):
        whole = mixer(Tokens(torch.cat([x[row : row + 1, :length], x[row : row + 1, 5:]], 1)))[0]
        assert_close(torch.cat(pieces, 1)[row : row + 1], whole[:, length:])


def test_dropout_acts_in_training_alone():
    mixer, x = _mixer(dropout=0.5, attention_dropout=0.5), _values(1, 9, WIDTH)
    assert_close(mixer(Tokens(x))[0], mixer(Tokens(x))[0], rtol=0, atol=0)
    mixer.train()
    assert not torch.equal(mixer(Tokens(x))[0], mixer(Tokens(x))[0])


def test_the_token_shift_moves_half_of_the_features():
    x = _values(1, 4, WIDTH)
    x[:, :, : WIDTH // 2] = 0
    assert_close(_mixer()(Tokens(x))[0], _mixer(token_shift=False)(Tokens(x))[0])


def test_silence_gives_finite_values_and_gradients():
    x = torch.zeros(1, 9, WIDTH, dtype=torch.float64, requires_grad=True)
    y = _mixer()(Tokens(x))[0]
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert torch.isfinite(x.grad).all()


def test_costs_are_those_worked_by_hand():
    maps = 7 * (WIDTH * 4 * WIDTH + 4 * WIDTH * 5 + WIDTH * 6 + 6 * 5 + 2 * WIDTH * WIDTH + WIDTH * 5)
    assert _mixer().cost(1, 7) == maps + 7 * (GROUP * (6 + 4 * WIDTH) + 2 * 6 * 4 * WIDTH)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="kernel=4 has no centre token"):
        GatedAttentionSettings(kernel=4)
    with pytest.raises(ValidationError, match="rotary_width=32 is above query_width=16"):
        GatedAttentionSettings(query_width=16)
    with pytest.raises(ConfigError, match="width 7 cannot halve 3 times as many features"):
        GatedAttention(7, GatedAttentionSettings(expand=3))
