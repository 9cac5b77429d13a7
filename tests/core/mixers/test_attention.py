"""Attention: what the conformance kit does not know of."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from armillary.core.config.mixers import AttentionSettings
from armillary.core.errors import ConfigError
from armillary.core.mixers import Attention, AttentionState
from armillary.core.tokens import Tokens

WIDTH = 12


def attention(**settings: object) -> Attention:
    torch.manual_seed(0)
    return Attention(WIDTH, AttentionSettings(heads=3, **settings)).double().eval()


def tokens(batch: int = 2, length: int = 6, seed: int = 1) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    return Tokens(torch.randn(batch, length, WIDTH, generator=generator, dtype=torch.float64))


def by_hand(mixer: Attention, given: Tokens, allowed: Tensor) -> Tensor:
    """Softmax attention head by head and query by query."""
    q, k, v = (layer(given.values) for layer in (mixer.query, mixer.key, mixer.value))
    rows = []
    for b in range(q.shape[0]):
        for i in range(q.shape[1]):
            heads = []
            for part in torch.arange(WIDTH).chunk(3):
                keys, values = k[b, allowed[i]][:, part], v[b, allowed[i]][:, part]
                weights = torch.softmax(keys @ q[b, i, part] / 2, 0)  # 2 = sqrt(head width 4)
                heads.append(weights @ values)
            rows.append(mixer.out(torch.cat(heads)))
    return torch.stack(rows).unflatten(0, q.shape[:2])


@pytest.mark.parametrize("causal", [False, True])
def test_output_equals_softmax_attention_by_hand(causal: bool) -> None:
    mixer, given = attention(causal=causal), tokens()
    allowed = torch.ones(6, 6, dtype=torch.bool)
    torch.testing.assert_close(mixer(given)[0], by_hand(mixer, given, allowed.tril() if causal else allowed))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rotary", [False, True])
def test_the_attention_map_gives_the_output(causal: bool, masked: bool, rotary: bool) -> None:
    mixer, given = attention(causal=causal, rotary=rotary), tokens()
    if masked:
        given = replace(given, mask=torch.tensor([[True] * 4 + [False] * 2, [False] * 6]))
    weights = mixer.attention_map(given)
    values = mixer.value(given.values).unflatten(-1, (3, 4)).transpose(1, 2)
    seen = (weights.sum(-1) > 0).all(1)[..., None]
    rebuilt = mixer.out((weights @ values).transpose(1, 2).flatten(2)) * seen
    torch.testing.assert_close(rebuilt, mixer(given)[0])
    torch.testing.assert_close(weights.sum(-1), seen.expand(-1, -1, 3).transpose(1, 2).double())


def test_the_map_of_a_packed_row_is_block_diagonal() -> None:
    segments = torch.tensor([[0, 0, 1, 1, 1, 2]]).expand(2, -1)
    weights = attention().attention_map(replace(tokens(), segments=segments))
    together = segments[:, :, None] == segments[:, None, :]
    assert torch.equal(weights > 0, together[:, None].expand(-1, 3, -1, -1))


@pytest.mark.parametrize("causal", [False, True])
def test_a_row_without_any_key_gives_zeros_and_finite_gradients(causal: bool) -> None:
    mixer, given = attention(causal=causal), tokens()
    values = given.values.clone().requires_grad_()
    mixed = mixer(replace(given, values=values, mask=torch.zeros(2, 6, dtype=torch.bool)))[0]
    mixed.sum().backward()
    assert torch.equal(mixed, torch.zeros_like(mixed))
    assert torch.isfinite(values.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in mixer.parameters())


@pytest.mark.parametrize("masked", [False, True])
def test_an_empty_context_gives_zeros(masked: bool) -> None:
    context = tokens(length=0)
    if masked:
        context = replace(context, mask=torch.zeros(2, 0, dtype=torch.bool))
    mixed = attention()(tokens(), context=context)[0]
    assert torch.equal(mixed, torch.zeros_like(mixed))


def test_a_causal_mixer_sees_all_of_a_context_and_hands_its_state_through() -> None:
    mixer, given, context = attention(causal=True), tokens(), tokens(length=4, seed=2)
    state = mixer(given)[1]
    mixed, after = mixer(given, state, context)
    assert after is state
    torch.testing.assert_close(mixed, attention()(given, context=context)[0])


def test_packed_tokens_read_the_context_of_their_own_segment() -> None:
    mixer, given, context = attention(), tokens(), tokens(length=4, seed=2)
    packed = replace(given, segments=torch.tensor([[1, 1, 1, 2, 2, 2]]).expand(2, -1))
    source = replace(context, segments=torch.tensor([[1, 2, 2, 1]]).expand(2, -1))
    mixed = mixer(packed, context=source)[0]
    first = mixer(Tokens(given.values[:, :3]), context=Tokens(context.values[:, [0, 3]]))[0]
    torch.testing.assert_close(mixed[:, :3], first)


def test_rotary_attention_depends_on_differences_of_times_alone() -> None:
    mixer, times = attention(rotary=True), torch.rand(2, 6, 1, dtype=torch.float64).cumsum(1)
    early, late = (mixer(replace(tokens(), positions=times + shift))[0] for shift in (0.0, 37.5))
    torch.testing.assert_close(early, late)
    assert not torch.allclose(early, mixer(tokens())[0])


def test_rotary_without_positions_counts_tokens() -> None:
    mixer = attention(rotary=True)
    numbered = replace(tokens(), positions=torch.arange(6.0, dtype=torch.float64)[None, :, None].expand(2, -1, -1))
    torch.testing.assert_close(mixer(tokens())[0], mixer(numbered)[0])


def test_the_state_keeps_one_key_a_token() -> None:
    state = attention(causal=True)(tokens(length=5))[1]
    assert isinstance(state, AttentionState)
    assert state.keys.shape == state.values.shape == (2, 3, 5, 4)
    assert state.visible is None
    assert state.lengths.tolist() == [5, 5]


def test_dropout_acts_while_training_only() -> None:
    mixer, given = attention(dropout=0.5), tokens()
    still = mixer(given)[0]
    assert not torch.allclose(mixer.train()(given)[0], still)
    assert torch.equal(mixer.eval()(given)[0], still)


def test_bias_can_be_left_out() -> None:
    assert sum(parameter.numel() for parameter in attention(bias=False).parameters()) == 4 * WIDTH**2
    assert sum(parameter.numel() for parameter in attention(bias=True).parameters()) == 4 * (WIDTH**2 + WIDTH)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="width 12 cannot have 5 heads"):
        Attention(WIDTH, AttentionSettings(heads=5))


def test_a_state_without_causality_is_refused() -> None:
    state = attention(causal=True)(tokens())[1]
    with pytest.raises(ValueError, match="set causal=true"):
        attention()(tokens(), state)


def test_counted_cost_of_a_small_case_is_as_worked_by_hand() -> None:
    assert attention().cost(2, 6) == 2 * (4 * 6 * 12 * 12 + 2 * 6 * 6 * 12)
    assert attention(causal=True).cost(1, 6) == 4 * 6 * 12 * 12 + 2 * 21 * 12
