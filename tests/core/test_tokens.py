"""Tokens as a pytree and a value."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch.testing import assert_close
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from armillary.core.tokens import Grid, Tokens


def _tokens() -> Tokens:
    return Tokens(
        values=torch.randn(2, 5, 3),
        mask=torch.arange(5) < torch.tensor([[5], [2]]),
        positions=torch.randn(2, 5, 2),
        segments=torch.zeros(2, 5, dtype=torch.int64),
        grid=Grid((2, 2), (True, False)),
        prefix=1,
    )


@pytest.mark.parametrize("tokens", [_tokens(), Tokens(torch.randn(1, 2, 3))])
def test_a_pytree_round_trip_keeps_every_field(tokens):
    leaves, structure = pytree.tree_flatten(tokens)
    back = pytree.tree_unflatten(leaves, structure)
    assert all(getattr(back, name) is getattr(tokens, name) for name in ("values", "mask", "positions", "segments"))
    assert (back.grid, back.prefix) == (tokens.grid, tokens.prefix)


def test_mapping_a_pytree_reaches_every_tensor_and_nothing_else():
    tokens = _tokens()
    moved = pytree.tree_map(lambda leaf: leaf.to("meta"), tokens)
    assert isinstance(moved, Tokens)
    assert {tensor.device.type for tensor in pytree.tree_leaves(moved)} == {"meta"}
    assert moved.grid == tokens.grid


def test_tokens_pass_through_a_checkpoint_with_their_gradient():
    values, weight = torch.randn(2, 5, 3, requires_grad=True), torch.randn(2, 5, 3)

    def run(tokens: Tokens) -> Tokens:
        return tokens.with_values(tokens.zeroed().sin())

    mask = torch.arange(5) < torch.tensor([[5], [2]])
    output = checkpoint(run, Tokens(values, mask), use_reentrant=False)
    (output.values * weight).sum().backward()
    assert_close(values.grad, values.detach().cos() * weight * mask.unsqueeze(-1))


COMPILED = """
import torch
from armillary.core.config.mixers import AttentionSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk

trunk = Trunk(TrunkSettings(width=4, pattern=(AttentionSettings(heads=2),)))
tokens = Tokens(torch.randn(2, 5, 4), torch.arange(5) < torch.tensor([[5], [2]]))
compiled, _ = torch.compile(trunk, backend="eager", fullgraph=True)(tokens)
torch.testing.assert_close(compiled.values, trunk(tokens)[0].values)
assert torch.equal(compiled.mask, tokens.mask)
"""


def test_tokens_pass_through_a_compiled_trunk_without_a_graph_break():
    # Apart from this process, whose shape checks are what would break the graph.
    subprocess.run([sys.executable, "-c", COMPILED], check=True)


def test_zeroed_and_lengths_see_real_tokens_only():
    tokens = _tokens()
    assert tokens.lengths().tolist() == [5, 2]
    assert not tokens.zeroed()[1, 2:].any()
    assert torch.equal(tokens.zeroed()[0], tokens.values[0])
    plain = Tokens(tokens.values)
    assert plain.zeroed() is plain.values
    assert plain.lengths().tolist() == [5, 5]


def test_other_values_keep_the_places():
    tokens = _tokens()
    wider = tokens.with_values(torch.zeros(2, 5, 7))
    assert wider.mask is tokens.mask
    assert wider.values.shape == (2, 5, 7)


def test_tokens_are_frozen_and_shapes_must_agree():
    tokens = _tokens()
    with pytest.raises(FrozenInstanceError):
        tokens.prefix = 2
    with pytest.raises(Exception, match="mask"):
        Tokens(torch.zeros(2, 5, 3), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="grid has 2 extents but 1 periodic flags"):
        Grid((2, 3), (True,))
