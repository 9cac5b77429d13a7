"""What VMamba, MedMamba and stages share, and what each of them adds: any size, two axes or three, any trunk."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import AttentionSettings, CrossScanSettings, NeighbourhoodSettings, PoolingSettings
from armillary.core.config.norms import BatchNormSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.cost import describe
from armillary.core.errors import ConfigError
from armillary.core.mixers.selective import SelectiveScan
from armillary.core.norms import BatchNorm
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.medmamba import MedMamba
from armillary.domains.medical.systems.pooled import StridedConv
from armillary.domains.medical.systems.settings import MedMambaSettings, StagesSettings, VMambaSettings
from armillary.domains.medical.systems.stages import Stages
from armillary.domains.medical.systems.vmamba import VMamba

SMALL = {"widths": (8, 12), "depths": (1, 1)}
SCAN = (CrossScanSettings(expand=1),)


def stages(rank: int = 2, **changes: object) -> StagesSettings:
    scan = (CrossScanSettings(rank=rank, expand=1),)
    parts = (StageSettings(depth=1, pattern=scan), StageSettings(depth=1, pattern=scan, width=12, resample="down2"))
    return StagesSettings(trunk=TrunkSettings(width=8, stages=parts, grid_rank=rank), **changes)


def network(kind: str, size: tuple[int, ...] = (20, 12), **given: object) -> nn.Module:
    torch.manual_seed(0)
    if kind == "vmamba":
        return VMamba(VMambaSettings(**SMALL), 3, 2, size, **given)
    if kind == "medmamba":
        return MedMamba(MedMambaSettings(patch=2, state=4, **SMALL), 3, 2, size, **given)
    return Stages(stages(len(size)), 3, 2, size, **given)


def images(*size: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 2, *size, generator=torch.Generator().manual_seed(0))


KINDS = ("vmamba", "medmamba", "stages")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(20, 12), (17, 5), (1, 1), (5, 6, 7)])
def test_images_of_any_size_get_finite_scores_that_are_a_linear_map_of_the_features(kind, size):
    model, image = network(kind, size).eval(), images(*size)
    features = model.features(image)
    assert features.shape == (2, 12)
    scores = functional.linear(features, model.head.classify.weight, model.head.classify.bias)
    assert_close(model(image), scores)
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_takes_other_sizes_than_it_was_made_for(kind):
    model = network(kind, (20, 12)).eval()
    assert model(images(9, 15)).shape == (2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_that_is_trained_learns(kind):
    model, image = network(kind), images(20, 12, count=6)
    functional.cross_entropy(model(image), torch.arange(6) % 3).backward()
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    assert len(trained) > 10
    still = [name for name, one in trained.items() if one.grad is None or not one.grad.isfinite().all()]
    assert not still
    assert sum(one.grad.abs().sum() > 0 for one in trained.values()) == len(trained)


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_is_judged_by_itself(kind):
    model, image = network(kind).eval(), images(20, 12, count=3)
    assert_close(model(image)[1:2], model(image[1:2]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trunk_that_is_handed_in_replaces_its_own(kind):
    trunk = Trunk(TrunkSettings(width=8, pattern=(AttentionSettings(heads=2),), norm=BatchNormSettings()))
    model = network(kind, trunk=trunk)
    assert model.trunk is trunk
    assert model.features(images(20, 12)).shape == (2, 8)
    norm = next(module for module in trunk.modules() if isinstance(module, BatchNorm))
    assert norm.running_mean.abs().sum() == 0
    model.after_step()
    assert norm.running_mean.abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_the_last_tokens_have_the_score_as_their_mean(kind):
    model, image = network(kind).eval(), images(20, 12)
    tokens = model.tokens(image)
    maps = model.head.activation_maps(tokens).unflatten(-1, tokens.grid.extents)
    assert_close(maps.mean((2, 3)) + model.head.classify.bias, model(image))


@pytest.mark.parametrize("kind", KINDS)
def test_all_work_is_counted(kind):
    with torch.device("meta"):
        described = describe(
            lambda: network(kind), {"image": torch.ones(2, 2, 20, 12)}, lambda model, batch: model(batch["image"])
        )
    assert described.mac > 0
    assert not described.uncounted


@pytest.mark.parametrize("make", [VMamba, MedMamba])
def test_stages_that_are_not_told_in_full_are_refused(make):
    kind = VMambaSettings if make is VMamba else MedMambaSettings
    with pytest.raises(ConfigError, match=r"model.widths=\(8, 12\) and model.depths=\(1,\)"):
        make(kind(widths=(8, 12), depths=(1,)), 3, 2, (20, 12))


@pytest.mark.parametrize("kind", ["vmamba", "medmamba"])
def test_a_row_is_no_image(kind):
    with pytest.raises(ConfigError, match=r"got 1 axes.\n  Set data.size"):
        network(kind, (20,))


def test_vmamba_tiny_has_the_published_size():
    """30 M at 1000 classes; 5,184 of them are biases of depth-wise convolutions, which the released code leaves out."""
    with torch.device("meta"):
        model = VMamba(VMambaSettings(), 1000, 3, (224, 224))
        assert model(torch.ones(1, 3, 224, 224)).shape == (1, 1000)
        assert model.tokens(torch.ones(1, 3, 224, 224)).grid.extents == (7, 7)
    assert sum(one.numel() for one in model.parameters()) == 30_254_248
    biases = [one for name, one in model.named_parameters() if name.endswith("mixer.conv.bias")]
    assert sum(one.numel() for one in biases) == 5_184


def test_medmamba_t_has_the_size_of_the_released_module():
    with torch.device("meta"):
        sizes = {
            number: sum(one.numel() for one in MedMamba(MedMambaSettings(), number, 3, (224, 224)).parameters())
            for number in (6, 1000)
        }
    assert sizes == {6: 14_457_222, 1000: 15_221_608}


def test_linear_maps_start_small_and_scans_keep_the_range_of_their_steps():
    model = VMamba(VMambaSettings(widths=(64,), depths=(2,)), 3, 1, (16, 16))
    block = next(model.trunk.blocks())
    assert abs(block.channel.expand.weight.std().item() - 0.02) < 0.002
    assert block.channel.expand.bias.abs().sum() == 0
    for scan in (module for module in model.modules() if isinstance(module, SelectiveScan)):
        steps = functional.softplus(scan.dt_bias)
        assert steps.min() > 0.9e-3
        assert steps.max() < 0.11
        assert scan.dt_proj.weight.abs().max() > 0.1


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)), step=st.integers(1, 4), more=st.integers(0, 3),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_a_strided_convolution_owns_every_pixel_once(size, step, more, seed):
    """With weights of one at the pixels that a place owns, places sum to the image."""
    layer = StridedConv(1, 1, step + more, step, 2).double()
    owned = torch.zeros(1, 1, step + more, step + more)
    first = layer.before
    owned[..., first : first + step, first : first + step] = 1.0
    layer.convolve.load_state_dict({"weight": owned, "bias": torch.zeros(1)})
    image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    places = layer(image)
    assert places.shape[2:] == tuple(-(-side // step) for side in size)
    assert_close(places.sum(), image.sum())


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (6, 7, 8)])
def test_the_stem_of_vmamba_has_the_windows_of_padding_one(size):
    layer = StridedConv(2, 3, 3, 2, len(size))
    convolve = functional.conv2d if len(size) == 2 else functional.conv3d
    image = images(*size)
    assert_close(layer(image), convolve(image, layer.convolve.weight, layer.convolve.bias, stride=2, padding=1))


def test_attention_sees_where_a_token_stands_only_with_positions():
    trunk = TrunkSettings(width=8, pattern=(AttentionSettings(heads=2),))
    image = images(8, 8)
    for positions in (False, True):
        torch.manual_seed(0)
        model = Stages(StagesSettings(trunk=trunk, stem=2, positions=positions), 3, 2, (8, 8)).eval()
        # A stem that sees its own pixels alone, so that moving whole tokens moves nothing else.
        model.embed.convolve.convolve.weight.data[:, :, 0] = 0.0
        model.embed.convolve.convolve.weight.data[:, :, :, 0] = 0.0
        moved = image.roll(2, -1)
        assert torch.allclose(model(image), model(moved), atol=1e-6) == (not positions)


def test_any_mixer_of_the_core_stands_in_stages():
    for mixer in (PoolingSettings(), NeighbourhoodSettings(heads=2, window=3), AttentionSettings(heads=2)):
        model = Stages(StagesSettings(trunk=TrunkSettings(width=8, pattern=(mixer,))), 3, 2, (9, 7))
        assert model(images(9, 7)).shape == (2, 3)


def test_a_trunk_that_resamples_another_number_of_axes_is_refused():
    parts = (StageSettings(depth=1, pattern=SCAN), StageSettings(depth=1, pattern=SCAN, resample="down2"))
    with pytest.raises(ConfigError, match=r"grids of 1 axes, and the images have 2.\n  Set model.trunk.grid_rank=2"):
        Stages(StagesSettings(trunk=TrunkSettings(width=8, stages=parts)), 3, 2, (20, 12))


def test_dropout_of_stages_acts_on_the_scores_while_training_alone():
    torch.manual_seed(0)
    model, image = Stages(stages(dropout=0.5), 3, 2, (20, 12)), images(20, 12)
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))
