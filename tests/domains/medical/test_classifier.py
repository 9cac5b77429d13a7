"""What every classifier gets for free: standardised images, a loss over known labels, calibration, thresholds."""

import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.domain import Exportable, Featured, Model, Scorer
from armillary.core.errors import ConfigError
from armillary.domains.medical.classifier import ImageClassifier, class_entropy, label_entropy
from armillary.domains.medical.recipes import pneumoniamnist, simulated
from armillary.domains.medical.settings import MedicalPredict, MedicalRun

NAN = float("nan")


class Small(nn.Module):
    """Scores from the mean squares of filtered pixels, with dropout."""

    def __init__(self, outputs: int, channels: int = 1) -> None:
        super().__init__()
        self.filter, self.drop = nn.Conv2d(channels, 8, 3), nn.Dropout(0.3)
        self.last = nn.Linear(8, outputs)
        self.steps = 0

    def features(self, image: Tensor) -> Tensor:
        return self.filter(image).square().mean((2, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.last(self.drop(self.features(image)))

    def after_step(self) -> None:
        self.steps += 1


class Pictures:
    """Images in memory, as items."""

    problems: Sequence[Any] = ()

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.ids = self.groups = np.arange(len(images)).astype(np.str_)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, np.ndarray]:
        epoch, index = key
        assert epoch == 0, "an augmented image was asked for"
        return {"image": self.images[index]}

    def collate(self, items: Sequence[Any]) -> dict[str, Tensor]:
        return {"image": torch.from_numpy(np.stack([item["image"] for item in items]))}


def changed(config: MedicalRun, **data: Any) -> MedicalRun:
    return config.model_copy(update={"data": config.data.model_copy(update=data)})


LABELS = changed(simulated(), names=("Mass", "Edema", "Hernia"))
CLASSES = changed(pneumoniamnist(), names=("a", "b", "c"))


def classifier(config: MedicalRun = LABELS) -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier(Small(len(config.data.names), config.data.channels), config).eval()


def images(count: int, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, 8, 8, generator=torch.Generator().manual_seed(seed))


def batch(image: Tensor, target: Tensor) -> dict[str, Tensor]:
    return {"image": image, "target": target, "index": torch.arange(len(image))}


def predicted(model: ImageClassifier, image: Tensor, options: MedicalPredict | None = None) -> dict[str, Tensor]:
    with torch.inference_mode():
        return next(iter(model.predict({"image": image}, options or MedicalPredict())))


def calibrated(model: ImageClassifier, image: Tensor, target: Tensor, size: int = 50) -> None:
    def batches() -> Iterator[dict[str, Tensor]]:
        for first in range(0, len(image), size):
            yield batch(image[first : first + size], target[first : first + size])

    model.calibrate(batches)


def test_it_keeps_the_contracts_of_models_teachers_and_exports():
    for contract in (Model, Scorer, Featured, Exportable):
        assert isinstance(classifier(), contract)


def test_training_images_are_standardised_after_fitting():
    config = changed(LABELS, channels=3)
    pictures = (np.random.default_rng(0).random((20, 3, 8, 8)) * [[[0.2]], [[0.5]], [[1.0]]]).astype(np.float32)
    model = classifier(config)
    model.fit(Pictures(pictures))
    seen = model.normalised(torch.from_numpy(pictures))
    assert_close(seen.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert_close(seen.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_moments_that_are_given_are_not_estimated():
    model = classifier(changed(LABELS, channels=3, mean=(0.5,), std=(0.25,)))
    model.fit(Pictures(np.zeros((0, 3, 8, 8), np.float32)))
    assert_close(model.mean, torch.full((3,), 0.5))
    assert_close(model.normalised(torch.full((1, 3, 2, 2), 0.75)), torch.ones(1, 3, 2, 2))


@settings(max_examples=20)
@given(st.floats(0.1, 10.0), st.floats(-1.0, 1.0))
def test_images_standardised_each_by_itself_forget_contrast_and_brightness(contrast: float, brightness: float):
    model, image = classifier(changed(LABELS, each_image=True)), images(3)
    assert_close(model(image * contrast + brightness), model(image), atol=2e-4, rtol=1e-3)


def test_unknown_labels_do_not_count_in_the_loss_and_have_no_gradient():
    scores = torch.tensor([[0.3, -1.0], [2.0, 0.5]], requires_grad=True)
    target = torch.tensor([[1.0, NAN], [NAN, 0.0]])
    loss = label_entropy(scores, target)
    by_hand = (functional.softplus(torch.tensor(-0.3)) + functional.softplus(torch.tensor(0.5))) / 2
    assert_close(loss, by_hand)
    loss.backward()
    assert scores.grad is not None
    assert (scores.grad[target.isnan()] == 0).all()
    assert (scores.grad[~target.isnan()] != 0).all()


@pytest.mark.parametrize("entropy", [label_entropy, class_entropy])
def test_a_batch_of_which_nothing_is_known_has_loss_and_gradient_zero(entropy: Any):
    scores = torch.randn(3, 4, requires_grad=True)
    loss = entropy(scores, torch.full((3, 4), NAN))
    loss.backward()
    assert loss == 0
    assert scores.grad is not None
    assert (scores.grad == 0).all()


def test_the_loss_of_classes_is_the_cross_entropy_of_known_images():
    scores, target = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    one_hot = functional.one_hot(target, 3).float()
    assert_close(class_entropy(scores, one_hot), functional.cross_entropy(scores, target))
    one_hot[3:] = NAN
    assert_close(class_entropy(scores, one_hot), functional.cross_entropy(scores[:3], target[:3]))


def test_labels_are_told_apart_each_by_itself_and_classes_share():
    several, one = predicted(classifier(), images(6))["probability"], predicted(classifier(CLASSES), images(6))
    assert not torch.allclose(several.sum(1), torch.ones(6))
    assert_close(one["probability"].sum(1), torch.ones(6))


@pytest.mark.parametrize("config", [LABELS, CLASSES])
def test_calibration_lowers_the_loss_of_validation_and_keeps_every_ranking(config: MedicalRun):
    model, image = classifier(config), images(200)
    with torch.no_grad():
        model.network.last.weight.mul_(20)
        scores = model(image) - model(image).mean(0)
        model.network.last.bias.sub_(model(image).mean(0))
        generator = torch.Generator().manual_seed(1)
        if config is LABELS:
            target = torch.bernoulli((scores / 3).sigmoid(), generator=generator)
        else:
            drawn = torch.multinomial((scores / 3).softmax(-1), 1, generator=generator)[:, 0]
            target = functional.one_hot(drawn, 3).float()
    before = predicted(model, image)["probability"]
    calibrated(model, image, target)
    after = predicted(model, image)["probability"]

    def loss(probability: Tensor) -> Tensor:
        if config is LABELS:
            return functional.binary_cross_entropy(probability, target)
        return -(target * probability.log()).sum(1).mean()

    assert model.temperature != 1
    assert loss(after) < loss(before)
    assert_close(after[:, 0].argsort() if config is LABELS else after.argmax(1),
                 before[:, 0].argsort() if config is LABELS else before.argmax(1))  # fmt: skip


def test_thresholds_are_chosen_on_calibrated_probabilities():
    config = LABELS.model_copy(update={"predict": MedicalPredict(sensitivity=0.8)})
    model, image = classifier(config), images(100)
    target = (torch.rand(100, 3, generator=torch.Generator().manual_seed(3)) < 0.4).float()
    target[:, 2] = 0
    calibrated(model, image, target)
    probability = predicted(model, image)["probability"]
    sensitive = predicted(model, image, MedicalPredict(threshold="sensitivity", sensitivity=0.8))["threshold"]
    for k in (0, 1):
        scores = probability[target[:, k] == 1, k]
        assert (scores >= sensitive[0, k]).float().mean() >= 0.8
        assert (scores > sensitive[0, k]).float().mean() < 0.8
    # No positive of the third on validation.
    assert sensitive[0, 2] == model.youden[2] == 0.5
    assert_close(predicted(model, image)["threshold"], model.youden.expand(100, 3))
    assert (predicted(model, image, MedicalPredict(threshold="half"))["threshold"] == 0.5).all()


def test_another_sensitivity_than_the_thresholds_were_chosen_for_is_refused():
    with pytest.raises(ConfigError, match=r"predict\.sensitivity=0\.5: .* for 0\.95\.\n  Keep that"):
        predicted(classifier(), images(1), MedicalPredict(threshold="sensitivity", sensitivity=0.5))


@pytest.mark.parametrize("config", [LABELS, CLASSES])
def test_a_validation_split_that_knows_nothing_leaves_the_model_as_it_is(config: MedicalRun):
    model = classifier(config)
    for target in (torch.full((20, 3), NAN), torch.zeros(20, 3) if config is LABELS else torch.eye(3)[[1] * 20]):
        calibrated(model, images(20), target)
        assert model.temperature == 1
        assert (model.youden == 0.5).all()


def test_fitting_forgets_the_calibration_of_the_run_that_it_starts_from():
    model = classifier()
    calibrated(model, images(50), (images(50).mean((1, 2, 3), keepdim=False)[:, None] > 0.5).float().repeat(1, 3))
    model.fit(Pictures(images(5).numpy()))
    assert model.temperature == 1
    assert (model.youden == 0.5).all()


def test_uncertainty_comes_when_it_is_asked_for_and_leaves_the_probability_alone():
    model, image = classifier(), images(4)
    plain, sampled = predicted(model, image), predicted(model, image, MedicalPredict(samples=8))
    assert "uncertainty" not in plain
    assert_close(sampled["probability"], plain["probability"], rtol=0, atol=0)
    assert (sampled["uncertainty"] > 0).all()
    again = predicted(model, image, MedicalPredict(samples=8))
    assert_close(again["uncertainty"], sampled["uncertainty"], rtol=0, atol=0)
    assert_close(predicted(model, image[2:3], MedicalPredict(samples=8))["uncertainty"], sampled["uncertainty"][2:3])


def test_maps_are_what_explain_says(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def explain(model: ImageClassifier, image: Tensor, how: str) -> Tensor:
        asked.append(how)
        return torch.zeros(len(image), 3, *image.shape[2:])

    fake = ModuleType("explain")
    fake.__dict__["explain"] = explain
    monkeypatch.setitem(sys.modules, "armillary.domains.medical.explain", fake)
    assert "map" not in predicted(classifier(), images(2))
    assert predicted(classifier(), images(2), MedicalPredict(maps="gradient"))["map"].shape == (2, 3, 8, 8)
    assert asked == ["gradient"]


def test_a_batch_of_one_equals_the_row_of_a_batch():
    model, image = classifier(), images(7)
    whole = predicted(model, image)
    for name, values in predicted(model, image[3:4]).items():
        assert_close(values, whole[name][3:4])


def test_scores_are_the_last_linear_map_of_the_features():
    model = classifier()
    with torch.no_grad():
        data = batch(images(3), torch.zeros(3, 3))
        assert_close(model.network.last(model.features(data)), model.logits(data))


def test_the_network_is_told_about_a_step():
    model = classifier()
    model.after_step()
    assert model.network.steps == 1


def test_steps_lower_the_loss():
    model, data = classifier(), batch(images(16), (images(16)[:, 0, :3, 0] > 0.5).float())
    losses: list[float] = []
    for _ in range(40):
        loss = model.loss(data, torch.Generator())["total"]
        losses.append(loss.item())
        weights = list(model.parameters())
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight.sub_(0.5 * gradient)
    assert losses[-1] < 0.95 * losses[0]


def test_the_interface_names_axes_and_outputs_that_predict_gives():
    interface = classifier().interface()
    assert interface.inputs["image"].axes == ("item", "channel", "row", "column")
    assert set(interface.outputs) <= set(predicted(classifier(), images(2)))
    assert classifier(CLASSES).interface().outputs["probability"].axes == ("item", "class")
    volumes = changed(LABELS, size=(8, 8, 8))
    assert ImageClassifier(nn.Identity(), volumes).interface().inputs["image"].axes[2:] == ("plane", "row", "column")


def test_it_can_be_written_as_a_program():
    from armillary.pipelines.export_program import Served, trace

    model = classifier()
    program = trace(Served(model, model.interface(), MedicalPredict()), {"image": images(4)}, {})
    answer = program.exported.module()({"image": images(5, seed=2)})
    for name, values in predicted(model, images(5, seed=2)).items():
        assert_close(answer[name], values)
