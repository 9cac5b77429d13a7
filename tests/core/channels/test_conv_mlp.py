"""The perceptron that sees neighbouring tokens, and the trunk that has one."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.channels.conv_mlp import ConvMLP
from armillary.core.config.channels import ConvMLPSettings
from armillary.core.config.mixers import PoolingSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.cost import describe
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk


def _part(**settings: object) -> ConvMLP:
    torch.manual_seed(0)
    return ConvMLP(4, ConvMLPSettings(**settings)).double().eval()


def _values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_it_is_its_formula():
    part, values = _part(hidden=6), _values(2, 5, 4)
    hidden = functional.linear(values, part.expand.weight, part.expand.bias)
    near = functional.conv1d(hidden.mT, part.convolve.weight, part.convolve.bias, padding=1, groups=6).mT
    assert_close(
        part(Tokens(values)), functional.linear(functional.gelu(near), part.contract.weight, part.contract.bias)
    )


def test_only_a_token_s_neighbours_matter_to_it():
    part, values = _part(kernel=5), _values(1, 9, 4).requires_grad_()
    gradient = torch.autograd.grad(part(Tokens(values))[0, 3].sum(), values)[0]
    assert (gradient[0].abs().sum(-1) > 0).tolist() == [False, *[True] * 5, *[False] * 3]


def test_masked_tokens_are_not_seen_and_a_padded_row_gives_what_it_gives_alone():
    part, values = _part(), _values(1, 7, 4)
    mask = torch.arange(7)[None] < 4
    spoiled = part(Tokens(values.masked_fill(~mask.unsqueeze(-1), 1e3), mask))
    assert_close(spoiled[:, :4], part(Tokens(values[:, :4])))


@pytest.mark.parametrize("shape", [(2, 0, 4), (0, 3, 4), (2, 1, 4)])
def test_empty_and_single_tokens_are_taken(shape):
    assert _part()(Tokens(_values(*shape))).shape == shape


def test_parameters_and_work_are_those_counted_by_hand():
    part = _part(hidden=6)
    assert sum(p.numel() for p in part.parameters()) == 4 * 6 + 6 + 3 * 6 + 6 + 6 * 4 + 4
    assert part.cost(2, 5) == 2 * 5 * (2 * 4 * 6 + 3 * 6)
    trunk = TrunkSettings(width=4, pattern=(None,), channel=ConvMLPSettings(hidden=6))
    described = describe(lambda: Trunk(trunk), {"x": torch.zeros(2, 5, 4)}, lambda model, b: model(Tokens(b["x"])))
    assert described.mac == part.cost(2, 5)
    assert described.uncounted == ()


def test_dropout_acts_in_training_only():
    part, tokens = _part(dropout=0.5), Tokens(_values(2, 5, 4))
    assert torch.equal(part(tokens), part(tokens))
    assert not torch.equal(part.train()(tokens), part(tokens))


def test_packed_sequences_and_even_kernels_are_refused():
    with pytest.raises(ValueError, match="conv_mlp got packed segments"):
        _part()(Tokens(_values(1, 4, 4), segments=torch.zeros(1, 4, dtype=torch.int64)))
    with pytest.raises(ValidationError, match="kernel=2 has no centre token"):
        ConvMLPSettings(kernel=2)


@pytest.mark.parametrize("placement", ["pre", "post", "parallel", "single"])
def test_a_trunk_that_has_one_looks_ahead_and_says_so(placement):
    settings = TrunkSettings(
        width=4, depth=2, pattern=(PoolingSettings(causal=True),), channel=ConvMLPSettings(), placement=placement
    )
    trunk = Trunk(settings).double().eval()
    can = trunk.capabilities
    assert (can.causal, can.streaming, can.packed_segments) == (False, False, False)
    with pytest.raises(ValueError, match="cannot run token by token"):
        trunk.step(Tokens(_values(1, 1, 4)), None)
    mask = torch.arange(7)[None] < 4
    values = _values(1, 7, 4)
    padded = trunk(Tokens(values, mask))[0].values[:, :4]
    assert_close(padded, trunk(Tokens(values[:, :4]))[0].values)
