"""URPE: its formula, attention as the special case, and distances in tokens and in positions."""

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from armillary.core.config.mixers import AttentionSettings, URPESettings
from armillary.core.mixers import URPE, Attention
from armillary.core.tokens import Tokens

WIDTH = 8


def _mixer(**changes) -> URPE:
    torch.manual_seed(0)
    mixer = URPE(WIDTH, URPESettings(**({"heads": 2} | changes))).double().eval()
    for table in mixer.parameters(recurse=False):
        torch.nn.init.normal_(table)
    return mixer


def _tokens(length=7, **fields) -> Tokens:
    generator = torch.Generator().manual_seed(1)
    return Tokens(torch.randn(2, length, WIDTH, generator=generator, dtype=torch.float64), **fields)


@pytest.mark.parametrize("causal", [False, True])
def test_before_training_it_is_attention(causal):
    torch.manual_seed(0)
    mixer = URPE(WIDTH, URPESettings(causal=causal, distance_bias=True)).double()
    plain = Attention(WIDTH, AttentionSettings(causal=causal)).double()
    plain.load_state_dict(mixer.attention.state_dict())
    tokens = _tokens(mask=torch.arange(7) < torch.tensor([[7], [3]]))
    assert_close(mixer(tokens)[0], plain(tokens)[0])


@pytest.mark.parametrize("causal", [False, True])
def test_the_output_is_the_formula_pair_by_pair(causal):
    mixer, tokens = _mixer(causal=causal, reach=3, distance_bias=True), _tokens()
    queries, keys, values, _, _ = mixer.attention.prepare(tokens, None, None)
    expected = torch.zeros_like(values)
    for head in range(2):
        for i in range(7):
            seen = range(i + 1) if causal else range(7)
            rows = [max(-3, min(3, i - j)) + (0 if causal else 3) for j in seen]
            dots = torch.stack([queries[:, head, i] @ keys[:, head, j].T for j in seen], -1).diagonal().T
            weights = (dots / 2 + mixer.term[rows, head]).softmax(-1) * mixer.factor[rows, head]
            expected[:, head, i] = torch.einsum("bk,bke->be", weights, values[:, head, : len(rows)])
    assert_close(mixer(tokens)[0], mixer.attention.out(expected.transpose(1, 2).flatten(2)))


def test_equal_tokens_are_told_apart_by_where_they_stand():
    """What a softmax alone cannot do: its rows sum to one."""
    values = torch.ones(1, 6, WIDTH, dtype=torch.float64)
    assert (_mixer(reach=2)(Tokens(values))[0].diff(dim=1).abs().amax(-1) > 1e-3).any()
    ones = _mixer(reach=2)
    torch.nn.init.ones_(ones.factor)
    assert_close(ones(Tokens(values))[0].diff(dim=1), torch.zeros(1, 5, WIDTH, dtype=torch.float64))


def test_times_fall_into_buckets_of_equal_ratio():
    mixer = _mixer(distance="positions", reach=4, shortest=1.0, longest=1000.0)
    times = torch.tensor([0.0, 0.5, -0.5, 1.0, 9.9, 10.1, -99.0, 101.0, 999.0, 1001.0, 1e9, -1e9])
    numbers = mixer._buckets(times[None, None]) - 4
    assert numbers.flatten().tolist() == [0, 0, 0, 1, 1, 2, -2, 3, 3, 4, 4, -4]


def test_a_shift_of_all_times_changes_nothing_and_a_stretch_does():
    mixer = _mixer(distance="positions", shortest=0.1, longest=10.0, reach=8)
    times = torch.rand(2, 7, 1, dtype=torch.float64).cumsum(1)
    tokens = _tokens(positions=times)
    shifted, stretched = _tokens(positions=times + 3), _tokens(positions=5 * times)
    assert_close(mixer(shifted)[0], mixer(tokens)[0])
    assert (mixer(stretched)[0] - mixer(tokens)[0]).abs().max() > 1e-3


def test_counted_distances_ignore_positions():
    mixer = _mixer(reach=3)
    assert torch.equal(mixer(_tokens(positions=torch.rand(2, 7, 1)))[0], mixer(_tokens())[0])


def test_the_tables_do_not_decay():
    assert all(table.no_weight_decay for table in _mixer(distance_bias=True).parameters(recurse=False))


def test_buckets_in_the_wrong_order_are_refused():
    with pytest.raises(ValidationError, match=r"shortest=10\.0 is not below longest=2\.0"):
        URPESettings(shortest=10.0, longest=2.0)
