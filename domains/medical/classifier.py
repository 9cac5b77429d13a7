"""What every classifier of images has in common: normalisation, loss, calibrated probabilities, thresholds."""

from collections.abc import Callable, Iterator
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.domain import Batch, Interface, Items, Port
from armillary.core.errors import ConfigError
from armillary.domains.medical.settings import MedicalPredict, MedicalRun
from armillary.domains.medical.standardise import fitted_moments, given_moments, image_moments, standardised
from armillary.domains.medical.temperature import fit_temperature
from armillary.domains.medical.thresholds import HALF, sensitive_thresholds, youden_thresholds

SPACE = ("plane", "row", "column")


class ImageClassifier(nn.Module):
    """A network on normalised images, (b, c, *s) -> scores (b, k); images come with grey values in [0, 1].

    Scores over the temperature go through a sigmoid where several labels can be there at once, through a softmax where
    one of several classes is. Temperature and thresholds are chosen on validation by `calibrate`.
    """

    mean: Tensor
    std: Tensor
    temperature: Tensor
    youden: Tensor
    sensitive: Tensor

    def __init__(self, network: nn.Module, config: MedicalRun) -> None:
        super().__init__()
        self.network, self.data = network, config.data
        self._exclusive = config.data.task == "classes"
        self._seed, self._sensitivity = config.seed, config.predict.sensitivity
        mean, std = given_moments(config.data) or (torch.zeros(config.data.channels), torch.ones(config.data.channels))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("youden", torch.full((len(config.data.names),), HALF))
        self.register_buffer("sensitive", torch.full((len(config.data.names),), HALF))

    def fit(self, items: Items) -> None:
        """Mean and deviation of the training images where the run does not give them. Nothing else is known yet."""
        if self.data.mean is None and not self.data.each_image:
            mean, std = fitted_moments(items, self.data.channels)
            self.mean.copy_(mean)
            self.std.copy_(std)
        # A run that starts from another one's weights got its calibration, too.
        self.temperature.fill_(1.0)
        self.youden.fill_(HALF)
        self.sensitive.fill_(HALF)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k"]:
        """Scores before the temperature."""
        return self.network(self.normalised(image))

    def normalised(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b c *s"]:
        """What the network sees."""
        if not self.data.each_image:
            return standardised(image, self.mean, self.std)
        mean, std = image_moments(image)
        return (image - mean) / std

    def logits(self, batch: Batch) -> Float[Tensor, "b k"]:
        """Scores of a batch, as distillation asks for them."""
        return self(batch["image"])

    def features(self, batch: Batch) -> Float[Tensor, "b f"]:
        """What the last linear map reads."""
        network = cast(Callable[[Tensor], Tensor], self.network.features)
        return network(self.normalised(batch["image"]))

    def loss(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean cross entropy [nat], binary over the known labels or of the classes of known images."""
        return {"total": self._entropy(self.logits(batch).float(), batch["target"])}

    def predict(self, batch: Batch, options: MedicalPredict) -> Iterator[dict[str, Tensor]]:
        """Calibrated probabilities, the threshold of each label, and what was asked for besides.

        uncertainty: with `samples`, the spread of the probability over passes with dropout; the probability itself is
        that of the pass without. map: with `maps`, where the network looked, (b, k, *s) in [0, 1].
        """
        image = batch["image"]
        probability = self.probability(image)
        found = {"probability": probability, "threshold": self.thresholds(options).expand_as(probability)}
        if options.samples:
            from armillary.domains.medical.uncertainty import dropout_spread

            found["uncertainty"] = dropout_spread(self.network, self.probability, image, options.samples, self._seed)
        if options.maps != "none":
            from armillary.domains.medical.explain import explain

            found["map"] = explain(self, image, options.maps)
        yield found

    def probability(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k"]:
        """Of each label, or class, after the temperature."""
        return self._chance(self(image).float())

    def thresholds(self, options: MedicalPredict) -> Float[Tensor, " k"]:
        """From which probability each label counts.

        Raises:
            ConfigError: another sensitivity is asked for than the thresholds were chosen for.
        """
        if options.threshold == "half":
            return torch.full_like(self.youden, HALF)
        if options.threshold == "youden":
            return self.youden
        if options.sensitivity != self._sensitivity:
            raise ConfigError(
                f"predict.sensitivity={options.sensitivity:g}: the thresholds of this run were chosen on validation "
                f"for {self._sensitivity:g}.\n  Keep that, or train a run with the other one."
            )
        return self.sensitive

    @torch.no_grad()
    def calibrate(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """The temperature of least validation loss; then thresholds on the probabilities that follow."""
        parts = [(self.logits(batch).float(), batch["target"]) for batch in batches()]
        scores, target = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        if not self._can_calibrate(target):
            return
        self.temperature.copy_(fit_temperature(lambda scaled: self._entropy(scaled, target), scores))
        probability, known = self._chance(scores).cpu().numpy(), target.cpu().numpy()
        self.youden.copy_(torch.from_numpy(youden_thresholds(probability, known)))
        self.sensitive.copy_(torch.from_numpy(sensitive_thresholds(probability, known, self._sensitivity)))

    def interface(self) -> Interface:
        """Images of data.size and data.channels with grey values in [0, 1], to probabilities."""
        axes = ("item", "channel", *SPACE[-self.data.rank :])
        kind = "class" if self._exclusive else "label"
        return Interface(
            inputs={"image": Port(axes, about="grey or colour values from 0 (black) to 1 (white)")},
            outputs={
                "probability": Port(("item", kind), about=f"of each {kind}, calibrated; not for diagnosis"),
                "threshold": Port(("item", kind), about="from which probability it counts, chosen on validation"),
            },
        )

    def after_step(self) -> None:
        """Lets the network fold what it gathered (batch norms)."""
        step = getattr(self.network, "after_step", None)
        if step is not None:
            step()

    def _chance(self, scores: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        scaled = scores / self.temperature
        return scaled.softmax(-1) if self._exclusive else scaled.sigmoid()

    def _entropy(self, scores: Float[Tensor, "b k"], target: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
        return class_entropy(scores, target) if self._exclusive else label_entropy(scores, target)

    def _can_calibrate(self, target: Float[Tensor, "n k"]) -> bool:
        """Whether labels are known to be there and not to be, or several classes: else certainty alone would win."""
        seen = target[~target.isnan()] if not self._exclusive else target[~target.isnan().any(-1)].argmax(-1)
        return seen.unique().numel() > 1


def label_entropy(scores: Float[Tensor, "b k"], target: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Binary cross entropy of the sigmoids [nat], the mean over labels that are known; NaN in target: unknown.

    0, with a gradient of 0, where none is known.
    """
    known = ~target.isnan()
    total = functional.binary_cross_entropy_with_logits(
        scores, target.nan_to_num(0.0).to(scores.dtype), weight=known.to(scores.dtype), reduction="sum"
    )
    return total / known.sum().clamp(min=1)


def class_entropy(scores: Float[Tensor, "b k"], target: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Cross entropy of the softmax [nat], the mean over images of known class; one NaN in a row of target: unknown.

    0, with a gradient of 0, where no class is known.
    """
    known = ~target.isnan().any(-1)
    wanted = target.nan_to_num(0.0).to(scores.dtype) * known[:, None]
    return -(wanted * scores.log_softmax(-1)).sum() / known.sum().clamp(min=1)
