"""The trunk: placements, streaming, masks, stages, checkpoints."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.testing import assert_close

from armillary.core.config.channels import GLUSettings, MLPSettings
from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, MambaSettings, PoolingSettings
from armillary.core.config.norms import BatchNormSettings, LayerNormSettings, RMSNormSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk

WIDTH = 8
PLACEMENTS = ("pre", "post", "parallel", "single")
CAUSAL = (
    AttentionSettings(heads=2, causal=True, rotary=True),
    MambaSettings(state=4, chunk=4),
    Mamba2Settings(head_width=4, state=4, chunk=4),
    PoolingSettings(causal=True),
)
TWO_WAY = (AttentionSettings(heads=2), PoolingSettings())
LOOP = StageSettings(depth=2, pattern=CAUSAL[1:3], loops=3, inject=True)


def _trunk(**changes) -> Trunk:
    torch.manual_seed(0)
    trunk = Trunk(TrunkSettings(**({"width": WIDTH, "pattern": CAUSAL} | changes))).double().eval()
    for parameter in trunk.parameters():
        # Default biases and scales are constants that could hide a mistake.
        torch.nn.init.normal_(parameter, std=0.3)
    return trunk


def _tokens(batch=2, length=9, width=WIDTH, **fields) -> Tokens:
    generator = torch.Generator().manual_seed(1)
    return Tokens(torch.randn(batch, length, width, generator=generator, dtype=torch.float64), **fields)


def _slice(tokens: Tokens, start: int, stop: int) -> Tokens:
    positions = None if tokens.positions is None else tokens.positions[:, start:stop]
    return Tokens(tokens.values[:, start:stop], positions=positions)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("tied", [1, 2])
def test_token_by_token_equals_the_whole(placement, tied):
    trunk = _trunk(placement=placement, tied=tied, residual_scale=0.5)
    tokens = _tokens()
    whole, final = trunk(tokens)
    state, outputs = None, []
    for index in range(tokens.values.shape[1]):
        output, state = trunk.step(_slice(tokens, index, index + 1), state)
        outputs.append(output.values)
    assert_close(torch.cat(outputs, dim=1), whole.values)
    assert len(state) == len(final) == tied * len(CAUSAL)


@pytest.mark.parametrize("tied", [1, 3])
def test_a_prompt_is_absorbed_in_one_call_and_steps_go_on_from_it(tied):
    trunk, tokens = _trunk(tied=tied), _tokens()
    whole, _ = trunk(tokens)
    _, state = trunk(_slice(tokens, 0, 5))
    later, state = trunk(_slice(tokens, 5, 7), state)
    last, _ = trunk.step(_slice(tokens, 7, 8), state)
    assert_close(torch.cat((later.values, last.values), dim=1), whole.values[:, 5:8])


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(0, 9), max_size=4), tied=st.integers(1, 2))
def test_pieces_of_any_length_equal_the_whole(cuts, tied):
    trunk, tokens = _trunk(tied=tied, placement="parallel"), _tokens()
    ends = [0, *sorted(cuts), 9]
    state, outputs = None, []
    for start, stop in itertools.pairwise(ends):
        output, state = trunk(_slice(tokens, start, stop), state)
        outputs.append(output.values)
    assert_close(torch.cat(outputs, dim=1), trunk(tokens)[0].values)


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(9)), placement=st.sampled_from(PLACEMENTS))
def test_without_positions_attention_does_not_know_an_order(order, placement):
    trunk = _trunk(pattern=(AttentionSettings(heads=2), AttentionSettings(heads=4)), placement=placement)
    tokens = _tokens()
    shuffled = trunk(tokens.with_values(tokens.values[:, order]))[0].values
    assert_close(shuffled, trunk(tokens)[0].values[:, order])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_causal_trunk_does_not_look_ahead(placement):
    trunk, tokens = _trunk(placement=placement), _tokens()
    assert trunk.capabilities.causal
    values = tokens.values.clone().requires_grad_()
    trunk(Tokens(values))[0].values[:, 4].square().sum().backward()
    touched = values.grad.abs().sum((0, 2)) > 0
    assert touched.tolist() == [True] * 5 + [False] * 4


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("pattern", [CAUSAL, TWO_WAY])
def test_a_masked_token_changes_no_valid_output(placement, pattern):
    trunk = _trunk(placement=placement, pattern=pattern)
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    tokens = _tokens(mask=mask)
    spoiled = tokens.with_values(tokens.values.where(mask.unsqueeze(-1), 1e3))
    assert_close(trunk(spoiled)[0].values[mask], trunk(tokens)[0].values[mask])


def test_without_a_mask_an_all_true_mask_changes_nothing():
    trunk = _trunk(pattern=TWO_WAY)
    masked = trunk(_tokens(mask=torch.ones(2, 9, dtype=torch.bool)))[0]
    assert_close(masked.values, trunk(_tokens())[0].values)


def test_the_placements_are_their_formulas():
    pattern = (AttentionSettings(heads=2),)
    tokens = _tokens()
    x = tokens.values
    for placement in PLACEMENTS:
        trunk = _trunk(placement=placement, pattern=pattern, final_norm=False)
        block = next(trunk.blocks())

        def mix(values, block=block):
            return block.mixer(Tokens(values))[0]

        if placement == "pre":
            middle = x + mix(block.mixer_norm(x))
            expected = middle + block.channel(block.channel_norm(middle))
        elif placement == "post":
            middle = block.mixer_norm(x + mix(x))
            expected = block.channel_norm(middle + block.channel(middle))
        elif placement == "single":
            expected = x + block.channel(block.channel_norm(mix(block.mixer_norm(x))))
        else:
            normed = block.mixer_norm(x)
            expected = x + mix(normed) + block.channel(normed)
        assert_close(trunk(tokens)[0].values, expected)


def test_layer_scale_multiplies_every_branch():
    trunk = _trunk(pattern=TWO_WAY, residual_scale=1e-3, final_norm=False)
    for block in trunk.blocks():
        assert block.mixer_branch.scale.shape == block.channel_branch.scale.shape == (WIDTH,)
        torch.nn.init.zeros_(block.mixer_branch.scale)
        torch.nn.init.zeros_(block.channel_branch.scale)
    tokens = _tokens()
    assert torch.equal(trunk(tokens)[0].values, tokens.values)


def test_the_initial_layer_scale_is_the_one_asked_for():
    trunk = Trunk(TrunkSettings(width=WIDTH, pattern=TWO_WAY, residual_scale=1e-3))
    assert_close(next(trunk.blocks()).mixer_branch.scale.detach(), torch.full((WIDTH,), 1e-3))


def test_tied_depth_equals_the_same_block_written_twice():
    once = _trunk(pattern=TWO_WAY, tied=2)
    twice = _trunk(pattern=tuple(itertools.chain.from_iterable((mixer, mixer) for mixer in TWO_WAY)))
    for index, block in enumerate(once.blocks()):
        for copy in list(twice.blocks())[2 * index : 2 * index + 2]:
            copy.load_state_dict(block.state_dict())
    twice.final_norm.load_state_dict(once.final_norm.state_dict())
    assert_close(once(_tokens())[0].values, twice(_tokens())[0].values)
    assert sum(p.numel() for p in once.blocks().__next__().parameters()) * 2 < sum(
        p.numel() for p in twice.parameters()
    )


def test_a_trunk_without_channel_mixer_runs_each_placement():
    for placement in PLACEMENTS:
        trunk = _trunk(placement=placement, channel=None)
        assert not any("channel" in name for name, _ in trunk.named_parameters())
        assert trunk(_tokens())[0].values.shape == (2, 9, WIDTH)


@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize("pattern", [CAUSAL, TWO_WAY])
def test_short_and_empty_sequences_pass(length, pattern):
    output, _ = _trunk(pattern=pattern)(_tokens(length=length))
    assert output.values.shape == (2, length, WIDTH)
    assert output.values.isfinite().all()


def test_the_pattern_repeats_over_the_depth():
    trunk = _trunk(pattern=TWO_WAY, depth=5)
    names = [type(block.mixer).__name__ for block in trunk.blocks()]
    assert names == ["Attention", "Pooling", "Attention", "Pooling", "Attention"]


def test_drop_path_grows_linearly_and_is_off_in_evaluation():
    trunk = _trunk(pattern=TWO_WAY, depth=5, drop_path=0.4, dropout=0.3)
    assert [round(block.mixer_branch.drop_path.rate, 6) for block in trunk.blocks()] == [0.0, 0.1, 0.2, 0.3, 0.4]
    tokens = _tokens()
    assert torch.equal(trunk(tokens)[0].values, trunk(tokens)[0].values)
    trunk.train()
    assert not torch.equal(trunk(tokens)[0].values, trunk(tokens)[0].values)


def test_training_is_a_function_of_the_seed():
    trunk = _trunk(pattern=TWO_WAY, drop_path=0.4, dropout=0.3).train()
    outputs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        outputs.append(trunk(_tokens())[0].values)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize(("norm", "tied"), [(LayerNormSettings(), 2), (BatchNormSettings(), 1)])
def test_checkpointing_changes_no_gradient_and_no_running_moment(norm, tied):
    gradients, running = [], []
    for checkpoint in (False, True):
        trunk = _trunk(checkpoint=checkpoint, dropout=0.2, drop_path=0.3, tied=tied, norm=norm).train()
        tokens = _tokens(mask=torch.arange(9) < torch.tensor([[9], [4]]))
        values = tokens.values.clone().requires_grad_()
        torch.manual_seed(5)
        trunk(tokens.with_values(values))[0].values.sin().sum().backward()
        trunk.after_step()
        gradients.append([values.grad, *(parameter.grad for parameter in trunk.parameters())])
        running.append(list(trunk.buffers()))
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients[0][:3])
    for plain, recomputed in zip(gradients[0] + running[0], gradients[1] + running[1], strict=True):
        assert (plain is None) == (recomputed is None)
        assert plain is None or torch.equal(plain, recomputed)


def test_weights_survive_a_round_trip():
    first, second = _trunk(depth=5), _trunk(depth=5)
    for parameter in second.parameters():
        torch.nn.init.ones_(parameter)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(_tokens())[0].values, second(_tokens())[0].values)


def test_parameters_are_those_counted_by_hand():
    attention, mlp, norm = 4 * (8 * 8 + 8), 8 * 32 + 32 + 32 * 8 + 8, 2 * 8
    plain = Trunk(TrunkSettings(width=8, depth=3, pattern=(AttentionSettings(heads=2),)))
    assert sum(p.numel() for p in plain.parameters()) == 3 * (attention + mlp + 2 * norm) + norm
    parallel = TrunkSettings(
        width=8,
        depth=2,
        pattern=(PoolingSettings(),),
        placement="parallel",
        channel=GLUSettings(hidden=12),
        norm=RMSNormSettings(),
        residual_scale=0.1,
        final_norm=False,
    )
    assert sum(p.numel() for p in Trunk(parallel).parameters()) == 2 * (3 * 8 * 12 + 8 + 2 * 8)


def test_the_published_encoder_block_has_its_published_size():
    """Width 32, 16 heads, hidden 128, one post-norm block: the transients sheet's headline configuration."""
    headline = TrunkSettings(
        width=32,
        pattern=(AttentionSettings(heads=16),),
        channel=MLPSettings(hidden=128, activation="relu"),
        norm=LayerNormSettings(eps=1e-6),
        placement="post",
        dropout=0.1,
        final_norm=False,
    )
    embedding, classifier = 8 * 32 + 32, 32 * 14 + 14
    assert sum(p.numel() for p in Trunk(headline).parameters()) == 13_454 - embedding - classifier


def test_context_reaches_the_mixers_that_read_it():
    trunk = _trunk(pattern=(AttentionSettings(heads=2), PoolingSettings()))
    tokens, context = _tokens(), _tokens(length=4)
    changed = context.with_values(context.values + 1)
    assert not torch.allclose(trunk(tokens, None, context)[0].values, trunk(tokens, None, changed)[0].values)
    with pytest.raises(ValueError, match="none of its mixers reads one"):
        _trunk(pattern=(PoolingSettings(),))(tokens, None, context)


def test_capabilities_follow_from_the_mixers():
    assert _trunk().capabilities.streaming
    assert _trunk().capabilities.cost_order == "l^2"
    assert _trunk(pattern=CAUSAL[1:]).capabilities.cost_order == "l"
    assert not _trunk(pattern=(*CAUSAL, PoolingSettings())).capabilities.causal
    merged = (StageSettings(depth=1, pattern=CAUSAL[:1]), StageSettings(depth=1, pattern=CAUSAL[:1], resample="down2"))
    trunk = Trunk(TrunkSettings(width=WIDTH, stages=merged))
    assert not trunk.capabilities.causal
    with pytest.raises(ValueError, match="cannot run token by token"):
        trunk.step(Tokens(torch.zeros(1, 1, WIDTH)), None)


def test_a_wrong_width_is_refused():
    with pytest.raises(ValueError, match="takes tokens of width 8, got 5"):
        _trunk()(_tokens(width=5))


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({}, "got neither"),
        ({"pattern": TWO_WAY, "stages": (StageSettings(depth=1, pattern=TWO_WAY[:1]),)}, "got both"),
        ({"depth": 2, "stages": (StageSettings(depth=1, pattern=TWO_WAY[:1]),)}, "depth=2 has no effect beside"),
        ({"pattern": TWO_WAY, "heads": 3}, "heads"),
        ({"pattern": TWO_WAY, "tied": 2, "norm": BatchNormSettings()}, "choose another norm or tied=1"),
        ({"stages": (LOOP,), "norm": BatchNormSettings()}, "choose another norm or loops=1"),
        ({"pattern": (PoolingSettings(), None), "channel": None}, "block 1 of a stage has neither"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given_settings, message):
    with pytest.raises(ValidationError, match=message):
        TrunkSettings(width=8, **given_settings)


def test_input_cannot_be_injected_into_a_single_loop():
    with pytest.raises(ValidationError, match="inject=true has no effect with loops=1"):
        StageSettings(depth=1, pattern=TWO_WAY[:1], inject=True)


def test_settings_survive_a_round_trip_through_plain_data():
    first = TrunkSettings(width=8, pattern=CAUSAL, norm=RMSNormSettings(), channel=GLUSettings())
    assert TrunkSettings.model_validate(first.model_dump(mode="json")) == first
    hybrid = StageSettings(depth=2, pattern=(None, CAUSAL[0]), channels=(MLPSettings(), None), placement="single")
    second = TrunkSettings(width=8, stages=(hybrid, LOOP))
    assert TrunkSettings.model_validate(second.model_dump(mode="json")) == second


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_mixed_precision_stays_close_and_gives_finite_gradients(placement):
    trunk, tokens = _trunk(placement=placement).float(), _tokens()
    single = Tokens(tokens.values.float())
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = trunk(single)
    output.values.float().square().mean().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in trunk.parameters())
    exact = trunk(single)[0].values
    # Eight bits through four blocks whose weights are larger than usual.
    assert (output.values - exact).norm() / exact.norm() < 0.1


@pytest.mark.parametrize("depth", [1, 2])
def test_a_pattern_longer_than_the_depth_is_refused(depth: int) -> None:
    pattern = (PoolingSettings(), AttentionSettings(), MambaSettings())
    told = f"pattern has 3 mixers for depth={depth}, so the last {3 - depth} would never be built"
    with pytest.raises(ValueError, match=told):
        TrunkSettings(width=8, depth=depth, pattern=pattern)
    with pytest.raises(ValueError, match=told):
        StageSettings(depth=depth, pattern=pattern)
