"""Hybrid notation: the published proportion, even spread, and the stages it becomes."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.config.channels import GLUSettings, MLPSettings
from armillary.core.config.hybrid import hybrid_notation, hybrid_stage
from armillary.core.config.mixers import AttentionSettings, Mamba2Settings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk

MAMBA = Mamba2Settings(head_width=4, state=4, chunk=4)
LETTERS = {"M": MAMBA, "*": AttentionSettings(heads=2, causal=True)}


def test_a_hybrid_of_56_layers_has_the_published_24_mamba_4_attention_and_28_channel_layers():
    notation = hybrid_notation(56)
    assert [notation.count(letter) for letter in "M*-"] == [24, 4, 28]
    assert [round(100 * notation.count(letter) / 56) for letter in "M*-"] == [43, 7, 50]
    assert notation == "M-M-M-*-M-M-M-" * 4


@given(depth=st.integers(1, 200))
def test_any_depth_begins_with_a_state_space_and_spreads_attention_evenly(depth):
    notation = hybrid_notation(depth)
    mixers = notation[::2]
    assert len(notation) == depth
    assert notation[0] == "M"
    assert set(notation[1::2]) <= {"-"}
    assert set(mixers) <= {"M", "*"}
    places = [place for place, letter in enumerate(mixers) if letter == "*"]
    gaps = {later - place for place, later in pairwise(places)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert abs(len(places) - len(mixers) / 7) <= 1


def test_the_stage_has_one_mixer_a_block():
    stage = hybrid_stage("M-*-", LETTERS, GLUSettings(hidden=12))
    trunk = Trunk(TrunkSettings(width=8, stages=(stage,)))
    kinds = [(type(block.mixer).__name__, type(block.channel).__name__) for block in trunk.blocks()]
    assert kinds == [("Mamba2", "NoneType"), ("NoneType", "GLU"), ("Attention", "NoneType"), ("NoneType", "GLU")]


def test_a_hybrid_streams_and_has_the_parameters_of_its_layers():
    settings = TrunkSettings(width=8, stages=(hybrid_stage(hybrid_notation(6), LETTERS, MLPSettings(hidden=16)),))
    trunk = Trunk(settings).double().eval()
    assert trunk.capabilities.streaming
    assert trunk.capabilities.cost_order == "l^2"
    values = torch.randn(2, 7, 8, dtype=torch.float64)
    whole, _ = trunk(Tokens(values))
    state, outputs = None, []
    for index in range(7):
        output, state = trunk.step(Tokens(values[:, index : index + 1]), state)
        outputs.append(output.values)
    torch.testing.assert_close(torch.cat(outputs, 1), whole.values)
    attention, mlp, norm = 4 * (8 * 8 + 8), 8 * 16 + 16 + 16 * 8 + 8, 2 * 8
    state_spaces = sum(p.numel() for block in trunk.blocks() if block.mixer for p in block.mixer.parameters())
    assert sum(p.numel() for p in trunk.parameters()) == state_spaces + 3 * mlp + 7 * norm
    assert state_spaces == attention + 2 * sum(p.numel() for p in next(trunk.blocks()).mixer.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hybrid_notation(0), "depth=0 is not a number of layers"),
        (lambda: hybrid_stage("", LETTERS, MLPSettings()), "notation is empty"),
        (lambda: hybrid_stage("M-A", LETTERS, MLPSettings()), r"has 'A' at place 2; expected one of 'M', '\*', '-'"),
        (lambda: hybrid_stage("-", {"-": MAMBA}, MLPSettings()), "always is the channel mixer"),
    ],
)
def test_notation_that_means_nothing_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
