"""Depth: stages that loop, blocks applied several times, and blocks with one mixer only."""

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from armillary.core.config.channels import GLUSettings, MLPSettings
from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, PoolingSettings, SpectralSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk

WIDTH = 8
PLACEMENTS = ("pre", "post", "parallel", "single")
TWO_WAY = (AttentionSettings(heads=2), PoolingSettings())
ONCE = StageSettings(depth=1, pattern=(AttentionSettings(heads=2, causal=True),))
LOOP = StageSettings(
    depth=2,
    pattern=(Mamba2Settings(head_width=4, state=4, chunk=4), PoolingSettings(causal=True)),
    loops=3,
    inject=True,
)


def _trunk(**changes) -> Trunk:
    torch.manual_seed(0)
    trunk = Trunk(TrunkSettings(width=WIDTH, **changes)).double().eval()
    for parameter in trunk.parameters():
        # Default biases and scales are constants that could hide a mistake.
        torch.nn.init.normal_(parameter, std=0.3)
    return trunk


def _tokens(**fields) -> Tokens:
    generator = torch.Generator().manual_seed(1)
    return Tokens(torch.randn(2, 9, WIDTH, generator=generator, dtype=torch.float64), **fields)


def _slice(tokens: Tokens, start: int, stop: int) -> Tokens:
    return Tokens(tokens.values[:, start:stop])


def _count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("inject", [False, True])
def test_a_looped_stage_is_its_blocks_written_out(inject):
    looped = LOOP.model_copy(update={"inject": inject})
    trunk, tokens = _trunk(stages=(ONCE, looped, ONCE)), _tokens()
    before, first, second, after = trunk.blocks()
    entered = before(tokens)[0]
    x = entered
    for loop in range(3):
        x = x.with_values(x.values + entered.values) if inject and loop else x
        x = second(first(x)[0])[0]
    assert_close(trunk(tokens)[0].values, trunk.final_norm(after(x)[0].values))


def test_loops_change_no_parameter():
    counts = {
        _count(Trunk(TrunkSettings(width=WIDTH, stages=(ONCE, LOOP.model_copy(update={"loops": loops}), ONCE))))
        for loops in (2, 3, 9)
    }
    assert len(counts) == 1
    assert {_count(_trunk(pattern=TWO_WAY, tied=tied)) for tied in (1, 2, 5)} == {_count(_trunk(pattern=TWO_WAY))}


def test_iterates_are_the_outputs_after_fewer_loops():
    trunk, tokens = _trunk(stages=(ONCE, LOOP, ONCE)), _tokens(mask=torch.arange(9) < torch.tensor([[9], [4]]))
    iterates = trunk.iterates(tokens, 3)
    for loops, iterate in enumerate(iterates, start=1):
        settings = LOOP.model_copy(update={"loops": loops, "inject": loops > 1})
        fewer = _trunk(stages=(ONCE, settings, ONCE))
        fewer.load_state_dict(trunk.state_dict())
        assert_close(fewer(tokens)[0].values, iterate.values)
    assert torch.equal(iterates[-1].values, trunk(tokens)[0].values)
    assert torch.equal(trunk.iterates(tokens, 1)[0].values, iterates[-1].values)


def test_iterates_pass_through_the_stages_that_split_again():
    stages = (
        StageSettings(depth=1, pattern=TWO_WAY[:1]),
        StageSettings(depth=1, pattern=TWO_WAY[:1], resample="down2", loops=2),
        StageSettings(depth=1, pattern=TWO_WAY[:1], resample="up2"),
    )
    trunk, tokens = _trunk(stages=stages), _tokens()
    first, second = trunk.iterates(tokens, 2)
    assert first.values.shape == tokens.values.shape
    assert torch.equal(second.values, trunk(tokens)[0].values)


@pytest.mark.parametrize("count", [0, 4])
def test_iterates_that_are_not_there_are_refused(count):
    with pytest.raises(ValueError, match=f"gives 1 to 3 iterates, .* got count={count}"):
        _trunk(stages=(ONCE, LOOP)).iterates(_tokens(), count)


@pytest.mark.parametrize("tied", [1, 2])
def test_a_looped_trunk_streams_with_a_state_for_every_application(tied):
    trunk, tokens = _trunk(stages=(ONCE, LOOP), tied=tied, projection=1.0, residual_scalars=True), _tokens()
    whole, state = trunk(_slice(tokens, 0, 4))
    outputs = [whole.values]
    assert len(state) == tied * (1 + 3 * 2)
    for index in range(4, 9):
        output, state = trunk.step(_slice(tokens, index, index + 1), state)
        outputs.append(output.values)
    assert_close(torch.cat(outputs, 1), trunk(tokens)[0].values)
    with pytest.raises(ValueError, match=f"got {len(state) - 1} states, expected {len(state)}"):
        trunk.step(_slice(tokens, 0, 1), state[1:])


def test_sliced_recursion_adds_an_untied_projection_after_each_application():
    def size(tied, depth=2):
        return _count(_trunk(pattern=TWO_WAY, depth=depth, tied=tied, projection=1.5, residual_scalars=True))

    hidden = 12
    projection = 2 * WIDTH + (WIDTH * hidden + hidden) + (hidden * WIDTH + WIDTH) + 2
    assert size(2) - size(1) == size(3) - size(2) == 2 * projection
    plain = _count(_trunk(pattern=TWO_WAY, depth=2))
    # Four scalars in each block, two around either mixer.
    assert size(2) == plain + 4 * projection + 2 * 4


def test_sliced_recursion_is_block_and_projection_in_turn():
    trunk = _trunk(pattern=TWO_WAY, tied=2, projection=1.0, residual_scalars=True)
    tokens, projections = _tokens(), iter(trunk.stages[0].projections)
    x = tokens
    for block in trunk.blocks():
        for _ in range(2):
            mixed = block.mixer(x.with_values(block.mixer_norm(x.values)))[0]
            middle = block.mixer_branch.keep * x.values + block.mixer_branch.gain * mixed
            features = block.channel(block.channel_norm(middle))
            y = block.channel_branch.keep * middle + block.channel_branch.gain * features
            part = next(projections)
            x = x.with_values(part.branch.keep * y + part.branch.gain * part.channel(part.norm(y)))
    assert_close(trunk(tokens)[0].values, trunk.final_norm(x.values))


def test_residual_scalars_are_one_at_first():
    torch.manual_seed(0)
    plain = Trunk(TrunkSettings(width=WIDTH, pattern=TWO_WAY))
    scaled = Trunk(TrunkSettings(width=WIDTH, pattern=TWO_WAY, residual_scalars=True))
    scaled.load_state_dict(plain.state_dict() | {k: v for k, v in scaled.state_dict().items() if v.shape == (1,)})
    tokens = Tokens(torch.randn(2, 5, WIDTH))
    assert torch.equal(plain(tokens)[0].values, scaled(tokens)[0].values)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_block_may_have_either_mixer_alone(placement):
    stage = StageSettings(depth=3, pattern=(*TWO_WAY, None), channels=(None, MLPSettings(), GLUSettings()))
    trunk, tokens = _trunk(stages=(stage,), placement=placement), _tokens()
    tokens_only, both, features_only = trunk.blocks()
    assert tokens_only.channel is None
    assert features_only.mixer is None
    assert not any(name.startswith("channel") for name, _ in tokens_only.named_parameters())
    assert not any(name.startswith("mixer") for name, _ in features_only.named_parameters())
    moved = tokens.with_values(tokens.values.flip(1))
    assert_close(features_only(moved)[0].values, features_only(tokens)[0].values.flip(1))
    assert features_only(tokens)[1] is None
    expected = features_only(both(tokens_only(tokens)[0])[0])[0].values
    assert_close(trunk(tokens)[0].values, trunk.final_norm(expected))


def test_channel_mixers_repeat_over_the_depth_like_the_pattern():
    stage = StageSettings(depth=5, pattern=TWO_WAY, channels=(MLPSettings(), GLUSettings(), None))
    kinds = [type(block.channel).__name__ for block in _trunk(stages=(stage,)).blocks()]
    assert kinds == ["MLP", "GLU", "NoneType", "MLP", "GLU"]


def test_a_trunk_that_only_mixes_features_is_causal_and_linear():
    capabilities = _trunk(pattern=(None,), depth=2).capabilities
    assert capabilities.streaming
    assert capabilities.cost_order == "l"


def test_a_spectformer_is_spectral_blocks_with_one_residual_path_and_then_attention():
    stages = (
        StageSettings(depth=4, pattern=(SpectralSettings(extents=(9,)),), placement="single"),
        StageSettings(depth=8, pattern=(AttentionSettings(heads=2),)),
    )
    trunk = _trunk(stages=stages)
    placements = [block.placement for block in trunk.blocks()]
    assert placements == ["single"] * 4 + ["pre"] * 8
    assert trunk.capabilities.cost_order == "l^2"
    mlp, norm, attention, spectral = 8 * 32 + 32 + 32 * 8 + 8, 2 * 8, 4 * (8 * 8 + 8), 2 * 5 * 8
    assert _count(trunk) == 12 * (mlp + 2 * norm) + 4 * spectral + 8 * attention + norm
    assert trunk(_tokens())[0].values.shape == (2, 9, WIDTH)


@pytest.mark.parametrize("kind", ["psca", "medmamba"])
@pytest.mark.parametrize("repeated", [{"tied": 2}, {"loops": 2}])
def test_mixers_with_running_moments_are_not_applied_twice(kind, repeated):
    mixer = {"kind": kind}
    trunk = {"width": 8, "stages": [{"depth": 1, "pattern": [mixer], "loops": repeated.get("loops", 1)}]}
    with pytest.raises(ValidationError, match=f"batch norms in {kind} keep one set"):
        TrunkSettings.model_validate({**trunk, "tied": repeated.get("tied", 1)})
