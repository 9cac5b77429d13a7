"""Masked pre-training: masks, errors that repeat, pictures, and a classifier that starts from it."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from armillary.core.cost import describe
from armillary.core.domain import Exportable, Model
from armillary.domains.medical.pretrainer import Pretrainer, visible_mean
from armillary.domains.medical.settings import MedicalData, MedicalPredict, MedicalRun
from armillary.domains.medical.systems.mae import MAE
from armillary.domains.medical.systems.patches import to_patches
from armillary.domains.medical.systems.settings import MAESettings, ViTSettings

VIT = ViTSettings(patch=4, width=16, depth=1, heads=2)
SMALL = MAESettings(encoder=VIT, ratio=0.75, decoder_width=16, decoder_depth=1, decoder_heads=2)
OPTIONS = MedicalPredict()
GIVEN = {"mean": (0.5,), "std": (0.25,)}


def run(settings: MAESettings = SMALL, size: tuple[int, ...] = (16, 16), **data) -> MedicalRun:
    told = MedicalData(card="films", task="pretrain", size=size, **data)
    return MedicalRun(recipe="medical/films", data=told, model=settings)


def pretrainer(settings: MAESettings = SMALL, size: tuple[int, ...] = (16, 16), **data) -> Pretrainer:
    torch.manual_seed(0)
    config = run(settings, size, **data)
    return Pretrainer(MAE(settings, 0, config.data.channels, size), config)


def batch(count: int, *size: int, channels: int = 1, seed: int = 0) -> dict:
    image = torch.rand(count, channels, *(size or (16, 16)), generator=torch.Generator().manual_seed(seed))
    return {"image": image, "index": torch.arange(count)}


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def errors(model: Pretrainer, given: dict) -> dict[str, torch.Tensor]:
    (found,) = model.predict(given, OPTIONS)
    return found


class Films:
    """Two even training images."""

    ids = groups = np.array(["a", "b"])
    problems = ()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, key: tuple[int, int]) -> dict:
        return {"image": np.full((1, 16, 16), 0.2 + 0.4 * key[1], np.float32), "index": key[1]}

    def collate(self, items):
        raise NotImplementedError


def test_it_is_a_model_that_can_be_exported():
    model = pretrainer()
    assert isinstance(model, Model)
    assert isinstance(model, Exportable)
    assert set(model.interface().outputs) == set(errors(model, batch(1)))


def test_moments_are_estimated_unless_they_are_given():
    model = pretrainer()
    model.fit(Films())
    assert_close(model.mean, torch.tensor([0.4]))
    assert_close(model.std, torch.tensor([0.2]))
    model = pretrainer(channels=3, **GIVEN)
    model.fit(Films())
    assert (model.mean.tolist(), model.std.tolist()) == ([0.5] * 3, [0.25] * 3)
    model = pretrainer(each_image=True)
    model.fit(Films())
    assert model.mean.tolist() == [0.0]


def test_the_loss_is_a_function_of_the_generator():
    model, given = pretrainer(**GIVEN), batch(3)
    first, again, other = (model.loss(given, drawn(seed))["total"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first != other


def test_it_is_described_without_weights_or_images():
    config = run()
    described = describe(lambda: Pretrainer(MAE(SMALL, 0, 1, (16, 16)), config), batch(2))
    assert described.uncounted == ()
    assert described.mac > 0


def test_errors_repeat_whatever_the_company_and_the_state_of_chance():
    model, given = pretrainer(**GIVEN).eval(), batch(6)
    together = errors(model, given)
    torch.manual_seed(5)
    alone = errors(model, {key: value[4:5] for key, value in given.items()})
    for name, value in together.items():
        assert value.shape == (6,)
        assert_close(alone[name], value[4:5], rtol=1e-4, atol=1e-5)


def test_the_error_of_the_mean_by_hand():
    model, given = pretrainer(**GIVEN).eval(), batch(2)
    standard = (given["image"] - 0.5) / 0.25
    patches = to_patches(standard, 4)
    (hidden,) = [model.network(standard, model.draw_by_index(given["index"]))[1]]
    for row in range(2):
        seen, gone = patches[row, ~hidden[row]], patches[row, hidden[row]]
        assert_close(errors(model, given)["mean_error"][row], (gone - seen.mean()).square().mean())


def test_the_mean_of_what_is_seen_goes_channel_by_channel():
    image = torch.stack([torch.full((4, 8), 1.0), torch.full((4, 8), 5.0)])[None]
    image[..., 4:] = 100
    mean = visible_mean(to_patches(image, 4), torch.tensor([[False, True]]), 2)
    assert_close(mean, torch.tensor([1.0, 5.0]).repeat(16).reshape(1, 1, 32))


def test_an_even_image_has_no_error_of_the_mean():
    given = batch(2)
    given["image"] = torch.full_like(given["image"], 0.3)
    assert_close(errors(pretrainer(**GIVEN), given)["mean_error"], torch.zeros(2), atol=1e-10, rtol=0)


def test_training_beats_the_mean_of_what_is_seen():
    model, given = pretrainer(SMALL.model_copy(update={"ratio": 0.5}), **GIVEN), batch(8)
    rows = torch.linspace(0, 1, 16).reshape(16, 1) * torch.linspace(0.2, 1, 8).reshape(8, 1, 1, 1)
    given["image"] = rows.expand(8, 1, 16, 16).contiguous()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for step in range(60):
        loss = model.loss(given, drawn(step))["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = errors(model.eval(), given)
    assert found["masked_error"].mean() < 0.3 * found["mean_error"].mean()


@pytest.mark.parametrize("size", [(16, 16), (10, 13), (8, 8, 4)])
@pytest.mark.parametrize("data", [GIVEN, {"each_image": True}])
def test_a_reconstruction_keeps_what_is_seen_and_fills_in_the_rest(size, data):
    model, given = pretrainer(size=size, **data).eval(), batch(2, *size)
    filled, hidden = model.reconstruct(given["image"], 0.6, drawn())
    again, _ = model.reconstruct(given["image"], 0.6, drawn())
    assert torch.equal(filled, again)
    assert filled.shape == given["image"].shape
    assert hidden.shape == (2, *size)
    assert 0.3 < hidden.float().mean() < 0.9
    same = (filled == given["image"])[:, 0]
    assert same[~hidden].all()
    assert not same[hidden].any()


def test_what_is_filled_in_is_in_the_units_of_the_image():
    model = pretrainer(**GIVEN).eval()
    torch.nn.init.zeros_(model.network.decoder.predict.weight)
    torch.nn.init.constant_(model.network.decoder.predict.bias, 1.0)
    filled, hidden = model.reconstruct(batch(1)["image"], 0.5, drawn())
    assert_close(filled[:, 0][hidden], torch.full_like(filled[:, 0][hidden], 0.75))


def test_normalised_targets_are_filled_in_as_grey_values_too():
    model = pretrainer(SMALL.model_copy(update={"normalised_target": True}), **GIVEN).eval()
    for name in ("weight", "bias"):
        torch.nn.init.zeros_(getattr(model.network.decoder.predict, name))
    image = batch(1)["image"]
    filled, hidden = model.reconstruct(image, 0.5, drawn())
    means = to_patches(image, 4).mean(-1, keepdim=True).expand(-1, -1, 16)
    assert_close(
        to_patches(filled, 4)[to_patches(hidden[:, None].float(), 4) > 0].sort().values,
        means[to_patches(hidden[:, None].float(), 4) > 0].sort().values,
    )


def test_features_are_those_of_whole_images():
    model, given = pretrainer(**GIVEN).eval(), batch(3)
    assert_close(model(given["image"]), model.network.features((given["image"] - 0.5) / 0.25))


def test_weights_go_to_a_classifier_by_name():
    from armillary.domains.medical.classifier import ImageClassifier
    from armillary.domains.medical.systems.vit import ViT

    data = MedicalData(card="films", task="labels", names=("a", "b"), size=(16, 16))
    config = MedicalRun(recipe="medical/films", data=data, model=VIT)
    theirs = set(ImageClassifier(ViT(VIT, 2, 1, (16, 16)), config).state_dict())
    ours = {name for name in pretrainer().state_dict() if name.startswith("network.encoder.")}
    assert ours - theirs == {"network.encoder.norm.weight", "network.encoder.norm.bias"}


def test_it_is_one_program_for_any_number_of_images():
    from armillary.pipelines.export_program import Served, trace

    model, given = pretrainer(**GIVEN).eval(), batch(4)
    program = trace(Served(model, model.interface(), OPTIONS), given, {})
    given["index"] = given["index"] + 1000
    found = program.exported.module()(program.feed(given))
    assert_close(found["masked_error"], errors(model, given)["masked_error"].detach(), rtol=1e-4, atol=1e-5)
