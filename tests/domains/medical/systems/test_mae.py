"""MAE: sizes, what the encoder sees, targets, and names that a classifier shares."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from armillary.core.cost import describe
from armillary.core.errors import ConfigError
from armillary.core.objectives.masked import Hiding, draw_hiding, masked_loss
from armillary.domains.medical.systems.mae import MAE
from armillary.domains.medical.systems.patches import from_patches, to_patches
from armillary.domains.medical.systems.settings import MAESettings, ViTSettings
from armillary.domains.medical.systems.vit import ViT

VIT = ViTSettings(patch=4, width=16, depth=2, heads=2)
SMALL = MAESettings(encoder=VIT, ratio=0.75, decoder_width=16, decoder_depth=1, decoder_heads=4)


def network(settings: MAESettings = SMALL, size: tuple[int, ...] = (8, 12)) -> MAE:
    torch.manual_seed(0)
    return MAE(settings, 0, 2, size)


def images(count: int, *size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 2, *(size or (8, 12)), generator=torch.Generator().manual_seed(seed))


def drawn(seed: int = 0, ratio: float = 0.75) -> partial[Hiding]:
    return partial(draw_hiding, ratio=ratio, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("width", "heads", "depth", "encoder", "decoder"),
    [(384, 6, 2, 21_665_664, 6_998_272), (768, 12, 8, 85_798_656, 26_109_184)],
)
def test_encoder_and_decoder_have_the_published_sizes(width, heads, depth, encoder, decoder):
    with torch.device("meta"):
        model = MAE(MAESettings(encoder=ViTSettings(width=width, heads=heads), decoder_depth=depth), 0, 3, (224, 224))
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in (model.encoder, model.decoder)]
    assert counts == [encoder, decoder]


def test_only_visible_patches_and_the_class_token_cost_work_in_the_encoder():
    def build() -> MAE:
        return MAE(MAESettings(), 0, 3, (224, 224))

    described = describe(
        build, {"image": torch.zeros(1, 3, 224, 224)}, lambda model, batch: model(batch["image"], drawn(ratio=0.9))
    )

    def blocks(depth: int, tokens: int, width: int) -> int:
        return depth * (12 * tokens * width**2 + 2 * tokens**2 * width)

    maps = 196 * 768 * 384 + 20 * 384 * 512 + 196 * 512 * 768
    assert described.uncounted == ()
    assert described.mac == blocks(12, 20, 384) + blocks(2, 197, 512) + maps


@pytest.mark.parametrize("size", [(8, 12), (12, 12), (9, 10), (5, 4), (8, 4, 8)])
def test_pixels_of_every_patch_at_any_size(size):
    model = network(size=size)
    image = images(3, *size)
    prediction, hidden = model(image, drawn())
    assert prediction.shape == model.target(image).shape == (*hidden.shape, 4 ** len(size) * 2)
    number = hidden.shape[1]
    assert hidden.sum(1).tolist() == [number - max(1, number // 4)] * 3
    assert model.features(image).shape == (3, 16)


def test_images_of_one_patch_are_refused():
    with pytest.raises(ConfigError, match="one patch of side 4, so nothing of them can be hidden"):
        network(size=(4, 3))


def test_hidden_pixels_change_no_prediction_and_visible_ones_do():
    model, image = network().eval(), images(2)
    prediction, hidden = model(image, drawn())
    patches = to_patches(image, 4)
    other = from_patches(torch.where(hidden.unsqueeze(-1), 9.0, patches), (2, 8, 12), 4)
    assert torch.equal(model(other, drawn())[0], prediction)
    changed = from_patches(torch.where(hidden.unsqueeze(-1), patches, patches + 1), (2, 8, 12), 4)
    assert not torch.allclose(model(changed, drawn())[0], prediction)


def test_predictions_differ_from_place_to_place_where_all_is_hidden_alike():
    prediction, hidden = network().eval()(images(1), drawn())
    said = prediction[0, hidden[0]]
    assert (said[1:] - said[:-1]).abs().amax(1).min() > 1e-3


def test_every_parameter_learns_but_the_positions():
    model, image = network(), images(4)
    prediction, hidden = model(image, drawn())
    masked_loss(prediction, model.target(image), hidden).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.endswith("position.table"), name


@given(st.integers(0, 99), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 4))
def test_patches_come_back_as_the_image(seed: int, size: list[int], side: int):
    image = images(2, *size, seed=seed)
    assert torch.equal(from_patches(to_patches(image, side), tuple(image.shape[1:]), side), image)


def test_a_patch_is_its_rows_with_channels_last_as_the_embedding_reads_it():
    image = torch.arange(2 * 8 * 12.0).reshape(1, 2, 8, 12)
    patch = to_patches(image, 4)[0, 4]
    assert_close(patch, image[0, :, 4:8, 4:8].permute(1, 2, 0).flatten())
    model = network()
    embedded = model.encoder.embed_image(image).values[0, 5] - model.encoder.embed.position.table[5]
    assert_close(embedded, model.encoder.embed.project(patch), rtol=1e-4, atol=1e-4)


def test_normalised_targets_have_no_moments_of_their_own_and_turn_back_into_pixels():
    model, image = network(SMALL.model_copy(update={"normalised_target": True})), images(2)
    target = model.target(5 * image + 3)
    assert_close(target.mean(-1), torch.zeros(2, 6), atol=1e-5, rtol=0)
    assert_close(target.std(-1), torch.ones(2, 6), atol=1e-4, rtol=0)
    assert_close(target, model.target(image), atol=1e-4, rtol=1e-4)
    assert_close(model.pixels(model.target(image), image), to_patches(image, 4))
    assert network().target(image).equal(to_patches(image, 4))


def test_an_even_patch_has_a_finite_normalised_target():
    model = network(SMALL.model_copy(update={"normalised_target": True}))
    assert model.target(torch.ones(1, 2, 8, 12)).abs().max() < 1e-3


@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_a_classifier_has_all_of_the_encoder_under_the_same_names(pooling):
    # With the mean of the patches, the norm stands behind the pooling and belongs to the classifier.
    ours, theirs = network().state_dict(), ViT(VIT.model_copy(update={"pooling": pooling}), 3, 2, (8, 12)).state_dict()
    shared = {name for name in ours if name in theirs}
    missing = {name for name in ours if name.startswith("encoder.")} - shared
    assert missing == ({"encoder.norm.weight", "encoder.norm.bias"} if pooling == "mean" else set())
    assert all(ours[name].shape == theirs[name].shape for name in shared)
    own = {"classify.weight", "classify.bias"} | ({"norm.weight", "norm.bias"} if pooling == "mean" else set())
    assert set(theirs) - shared == own


def test_a_classifier_that_starts_from_it_mixes_patches_alike():
    model, image = network().eval(), images(2)
    classifier = ViT(VIT.model_copy(update={"pooling": "class"}), 3, 2, (8, 12)).eval()
    classifier.load_state_dict(
        {name: value for name, value in model.state_dict().items() if name in classifier.state_dict()}, strict=False
    )
    whole = model.encoder(model.encoder.embed_image(image))
    assert torch.equal(classifier.features(image), whole.values[:, 0])


def test_it_learns_to_spread_the_grey_value_of_what_it_sees():
    torch.manual_seed(0)
    model = network()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3, weight_decay=0.0)
    level = torch.linspace(-1, 1, 16).reshape(-1, 1, 1, 1)
    image = level.expand(-1, 2, 8, 12)
    for step in range(40):
        prediction, hidden = model(image, drawn(step))
        loss = masked_loss(prediction, model.target(image), hidden)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    # A constant has the variance of the levels, 0.38.
    assert loss < 0.05
