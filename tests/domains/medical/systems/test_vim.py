"""Vision Mamba: its published size, its class token, the mean of both scans."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import AttentionSettings, MambaSettings, PoolingSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.cost import describe
from armillary.core.errors import ConfigError
from armillary.core.mixers.mamba import Mamba
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.settings import VimSettings
from armillary.domains.medical.systems.vim import Patches, Vim


def network(size: tuple[int, ...] = (13, 9), trunk: Trunk | None = None, **changes: object) -> Vim:
    torch.manual_seed(0)
    chosen = VimSettings(**({"patch": 4, "width": 8, "depth": 2, "state": 4} | changes))
    return Vim(chosen, 3, 2, size, trunk)


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 2, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("width", "parameters"), [(192, 7_148_008), (384, 25_796_584), (768, 97_598_440)])
def test_the_three_sizes_have_their_published_parameters(width, parameters):
    """7, 26 and 98 M at 1000 classes; the smallest also worked by hand."""
    with torch.device("meta"):
        model = Vim(VimSettings(width=width), 1000, 3, (224, 224))
    assert sum(one.numel() for one in model.parameters()) == parameters
    d, e, r, n = width, 2 * width, -(-width // 16), 16
    branch = (e * 4 + e) + e * (r + 2 * n) + (r * e + e) + e * n + e
    block = d * 2 * e + 2 * branch + e * d + d
    embedding = (16 * 16 * 3 * d + d) + d + 197 * d
    assert parameters == 24 * block + d + embedding + (d * 1000 + 1000)


@pytest.mark.parametrize("size", [(13, 9), (12, 8), (3, 2), (5, 6, 7)])
@pytest.mark.parametrize("stride", [None, 2])
def test_scores_are_a_linear_map_of_the_class_token(size, stride):
    model, image = network(size, stride=stride).eval(), images(*size)
    features = model.features(image)
    assert features.shape == (2, 8)
    assert_close(model(image), functional.linear(features, model.classify.weight, model.classify.bias))
    assert model(image).isfinite().all()


@settings(deadline=None, max_examples=30)
@given(size=st.tuples(st.integers(1, 20), st.integers(1, 20)), patch=st.integers(1, 6), data=st.data())
def test_patches_cover_every_pixel(size, patch, data):
    stride = data.draw(st.integers(1, patch))
    embed = Patches(1, 1, patch, stride, 2)
    image = torch.zeros(1, 1, *size, requires_grad=True)
    patches = embed(image)
    assert patches.shape[1] == torch.Size(embed.extents(size)).numel()
    torch.nn.init.ones_(embed.project.weight)
    embed(image).sum().backward()
    assert (image.grad >= 1).all()


def test_patches_that_fit_are_those_of_a_plain_convolution():
    embed, image = Patches(2, 5, 4, 2, 2), images(12, 8)
    plain = functional.conv2d(image, embed.project.weight, embed.project.bias, stride=2)
    assert_close(embed(image), plain.flatten(2).mT)
    assert embed.extents((224, 224)) == (111, 111)
    assert Patches(1, 1, 16, 8, 2).extents((224, 224)) == (27, 27)


def test_the_class_token_stands_in_the_middle_and_sees_both_sides():
    seen = []
    model = network((16, 8)).eval()  # 8 patches: the ninth token is the class token
    model.trunk.register_forward_hook(lambda _, given, __: seen.append(given[0].values))
    image = images(16, 8).requires_grad_()
    model(image).sum().backward()
    assert seen[0].shape == (2, 9, 8)
    expected = (model.class_token + model.position.table[4]).detach()
    assert_close(seen[0][:, 4].detach(), expected.expand(2, -1))
    assert (image.grad[:, :, :4].abs().sum((1, 2, 3)) > 0).all()
    assert (image.grad[:, :, -4:].abs().sum((1, 2, 3)) > 0).all()


def test_half_of_the_projection_makes_the_sum_of_two_scans_their_mean():
    torch.manual_seed(0)
    mixer = Mamba(8, MambaSettings(state=4, bidirectional=True)).double()
    outputs = []
    mixer.out_proj.register_forward_hook(lambda _, given, output: outputs.append((given[0], output)))
    model = network((16, 8)).double()
    model.trunk.stages[0].blocks[0].mixer = mixer
    published = mixer.out_proj.weight.detach().clone()
    mixer.out_proj.weight.data.mul_(0.5)
    model(images(16, 8).double())
    ((both, output),) = outputs
    # 2^-1 is exact in binary, so that the two agree to the order of summation.
    assert_close(output, functional.linear(both / 2, published), rtol=1e-14, atol=1e-14)


def test_the_blocks_start_at_half_of_the_published_range():
    model = network(width=64, depth=4)
    for module in (one for one in model.modules() if isinstance(one, Mamba)):
        bound = 0.5 * (128**-0.5) * 4**-0.5
        largest = module.out_proj.weight.abs().max()
        assert 0.95 * bound < largest <= bound


def test_tokens_and_positions_take_no_weight_decay():
    model = network()
    kept = {name for name, one in model.named_parameters() if getattr(one, "no_weight_decay", False)}
    assert {"class_token", "position.table"} <= kept


def test_every_parameter_learns():
    model = network((16, 8))
    functional.cross_entropy(model(images(16, 8)), torch.arange(2)).backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in model.parameters())


def test_another_trunk_of_rows_may_stand_in():
    trunk = Trunk(TrunkSettings(width=8, pattern=(AttentionSettings(heads=2), PoolingSettings())))
    model = network(trunk=trunk)
    assert model.trunk is trunk
    assert model(images(13, 9)).shape == (2, 3)
    model.after_step()


def test_a_trunk_that_loses_tokens_is_refused():
    merged = (StageSettings(depth=1, pattern=(PoolingSettings(),), resample="down2"),)
    model = network(trunk=Trunk(TrunkSettings(width=8, stages=merged)))
    with pytest.raises(ValueError, match="class token at place 6 of 13, got 7 tokens"):
        model(images(13, 9))


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"positions for images of \(13, 9\), got \(9, 13\); bring"):
        network()(images(9, 13))


def test_patches_with_gaps_are_refused():
    with pytest.raises(ConfigError, match=r"stride=5 skips pixels between patches of 4.\n  Set it to 4 or less"):
        network(stride=5)


def test_all_work_is_counted():
    with torch.device("meta"):
        described = describe(network, {"image": torch.ones(2, 2, 13, 9)}, lambda model, batch: model(batch["image"]))
    assert described.mac > 0
    assert not described.uncounted
