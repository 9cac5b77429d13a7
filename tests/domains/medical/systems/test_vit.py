"""ViT: published sizes, invariances of the wiring, rates of the layers, attention rollout, trunks of other kinds."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import AttentionSettings, MambaSettings, NeighbourhoodSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.cost import describe
from armillary.core.errors import ConfigError
from armillary.core.optim import parameter_groups
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.rollout import attention_rollout
from armillary.domains.medical.systems.settings import ViTSettings
from armillary.domains.medical.systems.vit import ViT, vit_needs

SMALL = ViTSettings(patch=4, width=16, depth=2, heads=2)
POOLINGS = ("mean", "class")


def network(settings: ViTSettings = SMALL, size: tuple[int, ...] = (8, 12), trunk: nn.Module | None = None) -> ViT:
    torch.manual_seed(0)
    return ViT(settings, 3, 2, size, trunk=trunk)


def images(count: int, *size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 2, *(size or (8, 12)), generator=torch.Generator().manual_seed(seed))


def awake(model: ViT) -> ViT:
    """With a head that says something."""
    nn.init.normal_(model.classify.weight)
    return model


@pytest.mark.parametrize(("width", "heads", "number"), [(384, 6, 21_671_054), (768, 12, 85_809_422)])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_classifiers_of_14_findings_have_the_published_size(width, heads, number, pooling):
    with torch.device("meta"):
        model = ViT(ViTSettings(width=width, heads=heads, pooling=pooling), 14, 3, (224, 224))
    assert sum(parameter.numel() for parameter in model.parameters()) == number


def test_the_work_at_224_pixels_is_counted_whole():
    def build() -> ViT:
        return ViT(ViTSettings(), 14, 3, (224, 224))

    described = describe(build, {"image": torch.zeros(1, 3, 224, 224)}, lambda model, batch: model(batch["image"]))
    tokens, width = 197, 384
    blocks = 12 * (12 * tokens * width**2 + 2 * tokens**2 * width)
    assert described.uncounted == ()
    assert described.mac == blocks + 196 * 768 * width + width * 14
    assert described.parameters - described.trainable == 197 * width


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("size", [(8, 12), (12, 12), (9, 10), (3, 3)])
def test_any_size_in_evaluation_and_training(pooling, size):
    model = network(SMALL.model_copy(update={"pooling": pooling, "drop_path": 0.3}))
    assert model(images(3, *size)).shape == (3, 3)
    assert model.eval()(images(3, *size)).shape == (3, 3)
    assert model.features(images(2, *size)).shape == (2, 16)


def test_volumes_are_cut_into_cubes():
    model = network(size=(8, 8, 4))
    image = images(2, 8, 8, 4)
    assert model.encoder.embed_image(image).grid.extents == (2, 2, 1)
    assert model(image).shape == (2, 3)


def test_zeros_at_the_end_fill_the_last_patch():
    model, image = awake(network()).eval(), images(2, 7, 10)
    assert_close(model(image), model(functional.pad(image, (0, 2, 0, 1))))


def test_scores_are_a_linear_map_of_the_features_and_start_at_zero_nearly():
    model, image = network(), images(3)
    assert model(image).abs().max() < 1e-3
    assert 0 < model.classify.weight.std() < 1e-4
    model = awake(model).eval()
    assert_close(model(image), functional.linear(model.features(image), model.classify.weight, model.classify.bias))


def test_the_mean_leaves_the_class_token_out_and_the_class_token_is_the_first():
    image = images(2)
    model = network().eval()
    tokens = model.encoder(model.encoder.embed_image(image))
    assert tokens.values.shape == (2, 7, 16)
    assert_close(model.features(image), model.norm(tokens.values[:, 1:].mean(1)))
    model = network(SMALL.model_copy(update={"pooling": "class"})).eval()
    tokens, _ = model.encoder.trunk(model.encoder.embed_image(image))
    assert_close(model.features(image), model.encoder.norm(tokens.values[:, 0]))
    assert model.norm is None


def test_norms_have_the_published_epsilon():
    for pooling in POOLINGS:
        model = network(SMALL.model_copy(update={"pooling": pooling}))
        assert {part.eps for part in model.modules() if hasattr(part, "eps")} == {1e-6}


def test_drop_path_grows_linearly():
    model = network(SMALL.model_copy(update={"depth": 3, "drop_path": 0.2}))
    assert [block.mixer_branch.drop_path.rate for block in model.encoder.trunk.blocks()] == pytest.approx([0, 0.1, 0.2])


def test_an_item_in_evaluation_does_not_depend_on_its_batch():
    model, image = awake(network()).eval(), images(4)
    assert_close(model(image)[1:2], model(image[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_parameter_learns_but_the_positions(pooling):
    model = awake(network(SMALL.model_copy(update={"pooling": pooling})))
    functional.cross_entropy(model(images(6)), torch.arange(6) % 3).backward()
    for name, parameter in model.named_parameters():
        if name == "encoder.embed.position.table":
            assert parameter.grad is None
        else:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_rates_decay_from_the_head_down():
    model = network(SMALL.model_copy(update={"layer_decay": 0.5}))
    rates = {
        id(parameter): group["lr"] for group in parameter_groups(model, 0.05, 1.0) for parameter in group["params"]
    }
    first, second = model.encoder.trunk.blocks()
    assert rates[id(model.encoder.class_token)] == rates[id(model.encoder.embed.project.weight)] == 0.125
    assert {rates[id(parameter)] for parameter in first.parameters()} == {0.25}
    assert {rates[id(parameter)] for parameter in second.parameters()} == {0.5}
    assert {rates[id(parameter)] for parameter in (*model.norm.parameters(), *model.classify.parameters())} == {1.0}


def test_without_decay_all_learn_alike_and_vectors_do_not_decay():
    model = network()
    groups = parameter_groups(model, 0.05, 1.0)
    assert {group["lr"] for group in groups} == {1.0}
    still = {id(parameter) for group in groups if group["weight_decay"] == 0 for parameter in group["params"]}
    assert id(model.encoder.class_token) in still


@pytest.mark.parametrize("pooling", POOLINGS)
def test_shares_of_patches_sum_to_one_less_what_the_class_token_keeps(pooling):
    model = network(SMALL.model_copy(update={"pooling": pooling})).eval()
    image = images(3)
    shares = model.attention_map(image)
    assert shares.shape == (3, 2, 3)
    assert (shares > 0).all()
    whole = attention_rollout(model.encoder.trunk, model.encoder.embed_image(image))
    assert_close(whole.sum(-1), torch.ones(3, 7))
    row = whole[:, 0] if pooling == "class" else whole[:, 1:].mean(1)
    assert_close(shares.flatten(1).sum(1), 1 - row[:, 0])


def test_one_block_of_even_attention_shares_evenly():
    model = network(SMALL.model_copy(update={"depth": 1, "pooling": "class"})).eval()
    nn.init.zeros_(next(model.encoder.trunk.blocks()).mixer.key.weight)
    # Half stays with the class token, the other half goes to seven tokens alike.
    assert_close(model.attention_map(images(2)), torch.full((2, 2, 3), 1 / 14))


def test_a_rollout_changes_nothing_and_leaves_no_hook():
    model, image = awake(network()).eval(), images(2)
    before = model(image)
    model.attention_map(image)
    assert torch.equal(model(image), before)
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_a_trunk_that_is_handed_in_takes_the_place_of_its_own():
    needs = vit_needs(SMALL, 2)
    assert (needs.width, needs.causal, needs.grid_rank) == (16, False, 2)
    trunk = Trunk(TrunkSettings(width=16, pattern=(MambaSettings(state=4, bidirectional=True),)))
    before = [parameter.clone() for parameter in trunk.parameters()]
    model = network(SMALL.model_copy(update={"layer_decay": 0.5}), trunk=trunk)
    assert model.encoder.trunk is trunk
    assert all(torch.equal(*pair) for pair in zip(before, trunk.parameters(), strict=True))
    assert {parameter.lr_scale for block in trunk.blocks() for parameter in block.parameters()} == {0.5}
    assert model(images(2)).shape == (2, 3)
    with pytest.raises(ValueError, match="got Mamba; use gradient maps"):
        model.attention_map(images(2))


def test_mixers_on_a_grid_do_without_the_class_token():
    trunk = Trunk(TrunkSettings(width=16, pattern=(NeighbourhoodSettings(heads=2, window=3),)))
    model = network(trunk=trunk)
    assert model.encoder.class_token is None
    assert model(images(2)).shape == (2, 3)
    with pytest.raises(ConfigError, match="pooling 'class' needs a class token"):
        network(SMALL.model_copy(update={"pooling": "class"}), trunk=trunk)


def test_a_trunk_that_merges_tokens_is_pooled_over_what_is_left():
    stages = (
        StageSettings(depth=1, pattern=(AttentionSettings(heads=2),)),
        StageSettings(depth=1, pattern=(AttentionSettings(heads=2),), width=24, resample="down2"),
    )
    model = network(trunk=Trunk(TrunkSettings(width=16, stages=stages, grid_rank=2))).eval()
    assert model.features(images(2)).shape == (2, 24)
    with pytest.raises(ValueError, match="this trunk merges them"):
        model.attention_map(images(2))
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_it_learns_to_tell_where_a_spot_is():
    torch.manual_seed(0)
    model = network(SMALL.model_copy(update={"layer_decay": 0.9}))
    optimiser = torch.optim.AdamW(parameter_groups(model, 0.01, 5e-3))
    target = torch.arange(12) % 3
    image = 0.3 * images(12)
    image[torch.arange(12), :, 2, 4 * target + 1] += 3
    for _ in range(40):
        loss = functional.cross_entropy(model(image), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1
