"""The pooled classifier and its class activation maps."""

import pytest
import torch
from torch.testing import assert_close

from armillary.core.config.heads import PooledSettings
from armillary.core.config.parts import HEADS, build_part
from armillary.core.tokens import Tokens

POOLINGS = ("mean", "last", "attention")


def _head(pooling="mean", dropout=0.0):
    torch.manual_seed(0)
    return build_part(HEADS, PooledSettings(classes=4, pooling=pooling, dropout=dropout), 6).double().eval()


def _tokens(lengths=(7, 3, 1)) -> Tokens:
    generator = torch.Generator().manual_seed(1)
    values = 3 * torch.randn(len(lengths), 7, 6, generator=generator, dtype=torch.float64)
    return Tokens(values, torch.arange(7) < torch.tensor(lengths).unsqueeze(-1))


def test_the_mean_of_an_activation_map_and_the_bias_make_the_score():
    head, tokens = _head(), _tokens()
    maps = head.activation_maps(tokens)
    assert maps.shape == (3, 4, 7)
    mean = maps.sum(-1) / tokens.mask.sum(-1, keepdim=True)
    assert_close(mean + head.classify.bias, head(tokens))


def test_an_activation_map_is_zero_where_masked_and_the_weighted_sum_elsewhere():
    head, tokens = _head(), _tokens()
    maps = head.activation_maps(tokens)
    assert not maps[1, :, 3:].any()
    assert_close(maps[0, 2, 5], head.classify.weight[2] @ tokens.values[0, 5])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_masked_tokens_change_no_score(pooling):
    head, tokens = _head(pooling), _tokens()
    spoiled = tokens.with_values(tokens.values.where(tokens.mask.unsqueeze(-1), 1e4))
    assert_close(head(spoiled), head(tokens))
    short = Tokens(tokens.values[1:2, :3])
    assert_close(head(short), head(tokens)[1:2])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_score_at_each_token_is_that_of_the_row_cut_after_it(pooling):
    head, tokens = _head(pooling), _tokens()
    track = head(tokens, each_token=True)
    for length in range(1, 8):
        assert_close(track[:1, length - 1], head(Tokens(tokens.values[:1, :length])))
    assert_close(track[1, 3:], track[1, 2].expand(4, 4))
    assert_close(track[:, -1], head(tokens))


def test_last_takes_the_last_real_token_wherever_the_mask_has_holes():
    head = _head("last")
    mask = torch.tensor([[False, True, False, True, False, False, False]])
    tokens = Tokens(_tokens((7,)).values, mask)
    assert_close(head(tokens), head.classify(tokens.values[:, 3]))
    track = head(tokens, each_token=True)
    assert_close(track[0, 0], head.classify.bias)
    assert_close(track[0, 2], head.classify(tokens.values[0, 1]))


def test_attention_pooling_is_a_softmax_of_the_capped_scores():
    head, tokens = _head("attention"), _tokens((7,))
    scores = 10 * (head.score(tokens.values) / 10).tanh()
    assert_close(head.pool(tokens), (scores.softmax(1) * tokens.values).sum(1))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("each_token", [False, True])
def test_a_row_without_a_real_token_scores_its_biases_with_finite_gradients(pooling, each_token):
    head, tokens = _head(pooling), _tokens((0, 2))
    values = tokens.values.clone().requires_grad_()
    scores = head(tokens.with_values(values), each_token)
    assert_close(scores[0], head.classify.bias.expand_as(scores[0]))
    scores.square().sum().backward()
    assert values.grad.isfinite().all()
    assert not values.grad[0].any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_empty_sequences_score_their_biases(pooling):
    head = _head(pooling)
    scores = head(Tokens(torch.zeros(2, 0, 6, dtype=torch.float64)))
    assert_close(scores, head.classify.bias.expand(2, 4))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_half_precision_pools_in_float32(pooling):
    head = _head(pooling)
    tokens = _tokens((7, 7, 7))
    half = Tokens(tokens.values.bfloat16())
    pooled = head.bfloat16().pool_each(half)
    assert pooled.dtype == head.pool(half).dtype == torch.bfloat16
    exact = head.double().pool_each(Tokens(half.values.double()))
    # bfloat16 keeps 8 bits of weights, scores and result, on values below 10.
    assert_close(pooled.double(), exact, rtol=2e-2, atol=5e-2)


def test_dropout_acts_in_training_only():
    head, tokens = _head(dropout=0.5), _tokens()
    assert torch.equal(head(tokens), head(tokens))
    head.train()
    assert not torch.equal(head(tokens), head(tokens))


def test_parameters_are_those_counted_by_hand():
    assert sum(parameter.numel() for parameter in _head().parameters()) == 6 * 4 + 4
    assert sum(parameter.numel() for parameter in _head("attention").parameters()) == 6 * 4 + 4 + 6
