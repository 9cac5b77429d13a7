"""ClST: sizes, invariances of the wiring, and trunks and mixers of other kinds in its place."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import Mamba2Settings, NeighbourhoodSettings, PoolingSettings, PSCASettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.cost import describe
from armillary.core.errors import ConfigError
from armillary.core.norms import BatchNorm
from armillary.core.trunk import Trunk
from armillary.domains.modulation.systems.clst import ClST, RailEmbedding, clst_needs, clst_trunk
from armillary.domains.modulation.systems.settings import ClSTSettings

SMALL = ClSTSettings(widths=(8, 16), depths=(1, 2), heads=(1, 2), kernels=(7, 3), ratio=2.0)


def network(settings: ClSTSettings = SMALL, classes: int = 5, trunk: nn.Module | None = None) -> ClST:
    torch.manual_seed(0)
    return ClST(settings, classes, 32, trunk=trunk)


def frames(count: int, length: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 2, length, generator=torch.Generator().manual_seed(seed)) / 2**0.5


def norms(module: nn.Module) -> list[BatchNorm]:
    return [part for part in module.modules() if isinstance(part, BatchNorm)]


@pytest.mark.parametrize(("ratio", "parameters", "mac"), [(2.0, 978_627, 17_418_912), (4.0, 1_362_723, 25_178_784)])
def test_parameters_and_work_at_128_samples(ratio, parameters, mac):
    def build() -> ClST:
        return ClST(ClSTSettings(ratio=ratio), 11, 128)

    described = describe(build, {"iq": torch.zeros(1, 2, 128)}, lambda model, batch: model(batch["iq"]))
    assert (described.parameters, described.mac, described.uncounted) == (parameters, mac, ())


@pytest.mark.parametrize(("batch", "length"), [(1, 32), (3, 32), (2, 33), (2, 1), (2, 100), (0, 32)])
def test_any_batch_and_length_in_evaluation_and_training(batch, length):
    model, iq = network(), frames(batch, length)
    assert model(iq).shape == (batch, 5)
    assert torch.isfinite(model(iq)).all()
    assert model.eval()(iq).shape == (batch, 5)
    assert model.features(iq).shape == (batch, 16)


def test_scores_are_a_linear_map_of_the_features():
    model, iq = network().eval(), frames(3)
    assert_close(model(iq), functional.linear(model.features(iq), model.classify.weight, model.classify.bias))


def test_one_kernel_over_both_rails_is_a_convolution_of_two_channels():
    embed, iq = RailEmbedding(6, 7).eval(), frames(2)
    # As an image of two rows: the kernel of 2 x 7 has one place along the rows.
    convolved = functional.conv2d(iq[:, None], embed.convolve.weight[:, None], stride=(1, 2), padding=(0, 3))
    assert convolved.shape == (2, 6, 1, 16)
    expected = functional.gelu(convolved.squeeze(2).mT / (1 + embed.norm.eps) ** 0.5)
    assert_close(embed(iq).values, expected)


def test_a_frame_in_evaluation_does_not_depend_on_its_batch():
    model, iq = network().eval(), frames(4)
    assert_close(model(iq)[1:2], model(iq[1:2]), rtol=1e-4, atol=1e-5)


def test_every_parameter_learns():
    model = network()
    functional.cross_entropy(model(frames(8)), torch.arange(8) % 5).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_forward_pass_changes_no_buffer_and_after_step_folds_every_norm():
    model = network()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(frames(4))
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    model.after_step()
    # One in the embedding, one in the merge, three in each of three blocks.
    assert len(norms(model)) == 11
    assert all(norm.running_mean.abs().sum() > 0 for norm in norms(model))


def test_it_learns_to_tell_tones_by_their_frequency():
    model = network(SMALL.model_copy(update={"drop_path": 0.0}), classes=2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    time, target = torch.arange(32), torch.arange(16) % 2
    for step in range(25):
        phase = torch.rand(16, 1, generator=torch.Generator().manual_seed(step)) * 6.28
        angle = (0.4 + 0.8 * target[:, None]) * time + phase
        loss = functional.cross_entropy(model(torch.stack([angle.cos(), angle.sin()], 1)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.after_step()
    assert loss < 0.1


@pytest.mark.parametrize(
    "pattern",
    [(PoolingSettings(),), (Mamba2Settings(head_width=8, state=4, bidirectional=True), PSCASettings(heads=2))],
)
def test_a_pattern_replaces_the_mixers_and_is_cut_to_the_depth_of_a_stage(pattern):
    settings = SMALL.model_copy(update={"pattern": pattern})
    stages = clst_trunk(settings).stages
    assert [stage.pattern for stage in stages] == [pattern[:1], pattern]
    assert network(settings)(frames(2)).shape == (2, 5)


def test_a_mixer_of_grids_of_one_axis_serves_too():
    settings = SMALL.model_copy(update={"pattern": (NeighbourhoodSettings(heads=2, window=5),)})
    assert network(settings)(frames(2)).shape == (2, 5)


def test_a_trunk_that_is_handed_in_takes_the_place_of_its_own():
    needs = clst_needs(SMALL)
    assert (needs.width, needs.causal) == (8, False)
    stages = (
        StageSettings(depth=1, pattern=(PoolingSettings(),)),
        StageSettings(depth=1, pattern=(PSCASettings(),), width=12),
    )
    trunk = Trunk(TrunkSettings(width=8, stages=stages))
    model = network(trunk=trunk)
    assert model.trunk is trunk
    assert model.features(frames(3)).shape == (3, 12)
    model.after_step()
    assert all(norm.running_mean.abs().sum() > 0 for norm in norms(model))


def test_what_would_never_be_built_or_has_no_centre_is_refused():
    with pytest.raises(ConfigError, match="3 mixers for stages of"):
        clst_trunk(SMALL.model_copy(update={"pattern": (PoolingSettings(),) * 3}))
    with pytest.raises(ConfigError, match="even size"):
        clst_trunk(SMALL.model_copy(update={"kernels": (8, 3)}))
