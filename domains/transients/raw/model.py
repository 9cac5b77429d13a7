"""The raw classifier: causal features, an embedding, any causal trunk, a classifier after every observation."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.core.calibration import fit_vector_scaling
from armillary.core.config.embeddings import ObservationEmbeddingSettings
from armillary.core.config.heads import PooledSettings
from armillary.core.domain import Batch, Interface, Items, Port
from armillary.core.embeddings import ObservationEmbedding
from armillary.core.errors import ConfigError
from armillary.core.heads import PooledClassifier
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.transients.bands import wavelengths
from armillary.domains.transients.raw.features import Observations, Standardise, num_features, observation_features
from armillary.domains.transients.raw.frame import RestFrame
from armillary.domains.transients.raw.settings import RawSettings
from armillary.domains.transients.settings import TransientsData, TransientsPredict

_HEAD_SCALE = 0.1
_FIT_ITEMS = 2000  # objects from which the scaler is estimated


class RawClassifier(nn.Module):
    """Class scores after every observation of a light curve, from one causal pass.

    Targets are places in `data.classes`. Probabilities assume the class frequencies of
    `data.prior`: all alike, or those of the training split.
    """

    class_weight: Tensor
    temperature: Tensor
    shift: Tensor

    def __init__(self, data: TransientsData, settings: RawSettings, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.settings = settings
        bands, classes = len(data.bands), len(data.classes)
        self.frame = RestFrame(wavelengths(data.bands), data.redshift != "none", settings.reference_redshift)
        features = num_features(bands) + self.frame.num_features
        self.standardise = Standardise(features, settings.clip)
        width = settings.trunk.width
        self.embedding = ObservationEmbedding(
            width,
            ObservationEmbeddingSettings(features=features, channels=bands, hidden=settings.hidden, time=settings.time),
        )
        self.trunk = Trunk(settings.trunk) if trunk is None else trunk
        if not self.trunk.capabilities.causal:  # pyright: ignore[reportAttributeAccessIssue]
            raise ConfigError(
                "model.trunk: not causal, but raw systems give a probability after every observation.\n"
                "  Set causal=true (attention, pooling) or bidirectional=false (mamba) in every mixer of the pattern."
            )
        self.head = PooledClassifier(
            self.trunk.output_width,  # pyright: ignore[reportArgumentType]
            PooledSettings(classes=classes, pooling="last", dropout=settings.dropout),
        )
        # Nearly uniform probabilities at the start, so that the first steps do not unlearn chance.
        self.head.classify.weight.data.mul_(_HEAD_SCALE)
        self.balanced = data.prior == "balanced"
        self.register_buffer("class_weight", torch.ones(classes))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("shift", torch.zeros(classes))

    def fit(self, items: Items) -> None:
        """Scaler and class weights from the training split."""
        targets = torch.as_tensor(items.targets)  # pyright: ignore[reportAttributeAccessIssue]
        self.class_weight.copy_(self._class_weights(targets))
        step = max(len(items) // _FIT_ITEMS, 1)
        batch = items.collate([items[(0, i)] for i in range(0, len(items), step)])
        self.standardise.fit(self._features(batch)[0][batch["mask"]])

    def forward(self, batch: Batch) -> Float[Tensor, "b l k"]:
        """Uncalibrated class scores after every observation."""
        features, time = self._features(batch)
        # Padding comes last, so no causal mixer lets it reach a real token; only a batch norm must be told of it.
        mask = batch["mask"] if self.settings.trunk.norm.kind == "batch" else None
        tokens: Tokens = self.embedding(self.standardise(features), batch["band"], time.unsqueeze(-1), mask)
        return self.head(self.trunk(tokens)[0], each_token=True)

    def logits(self, batch: Batch) -> Float[Tensor, "b k"]:
        """Uncalibrated class scores after the last observation."""
        return _pick(self(batch), _last(batch["mask"])).squeeze(1)

    def loss(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Log loss under the prior, after the last and, in part, after every observation since the trigger."""
        scores, mask = self(batch).float(), batch["mask"]
        target = batch["target"].unsqueeze(1).expand(mask.shape)
        each = F.cross_entropy(scores.flatten(0, 1), target.flatten(), reduction="none").view(mask.shape)
        number = mask.cumsum(1)
        counted = (mask & (batch["time"] >= 0)) * (number / number[:, -1:]) ** self.settings.every_power
        every = (each * counted).sum(1) / counted.sum(1).clamp(min=1e-6)
        last = each.gather(1, _last(mask)).squeeze(1)
        weight = self.class_weight[batch["target"]]
        every, last = (every * weight).mean(), (last * weight).mean()
        share = self.settings.every_weight
        return {"total": share * every + (1 - share) * last, "every": every, "last": last}

    def predict(self, batch: Batch, options: TransientsPredict) -> Iterator[dict[str, Tensor]]:
        """Probabilities at the end and on the asked days; with `track`, after each observation since the trigger."""
        scores = self(batch).float() * self.temperature + self.shift
        probability, mask = scores.softmax(-1), batch["mask"]
        last = _last(mask)
        output = {
            "probability": _pick(probability, last).squeeze(1),
            "open_set_score": -_pick(scores, last).squeeze(1).logsumexp(-1),
            "early_probability": _pick(probability, _place_on(batch["time"], mask, options.days)),
        }
        if options.track:
            # Times count from the trigger, so what was seen before it is no answer that anyone could have given then.
            since = mask & (batch["time"] >= 0)
            output |= {"track_probability": probability, "track_time": batch["time"], "track_mask": since}
        yield output

    @torch.no_grad()
    def calibrate(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Temperature and class shifts that minimise the log loss of the validation split, under the same prior."""
        if not self.settings.calibrate:
            return
        parts = [(self.logits(batch).float(), batch["target"]) for batch in batches()]
        scores, target = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        temperature, shift = fit_vector_scaling(scores, target, self._class_weights(target)[target])
        self.temperature.copy_(temperature)
        self.shift.copy_(shift)

    def interface(self) -> Interface:
        """Light curves from the trigger's point of view, of any number of observations, to probabilities."""
        row = ("item", "observation")
        return Interface(
            inputs={
                "time": Port(row, "d", "since the first detection, rising"),
                "flux": Port(row, "FLUXCAL", "as the training data give it"),
                "flux_error": Port(row, "FLUXCAL", "one standard deviation, above zero", padding=1.0),
                "band": Port(row, about="place of the band in data.bands"),
                "mask": Port(row, about="true for observations, false for the padding after them"),
                "redshift": Port(("item",), about="NaN where unknown"),
                "redshift_error": Port(("item",), about="NaN where unknown"),
            },
            outputs={
                "probability": Port(("item", "class"), about="of each class after the last observation"),
                "open_set_score": Port(("item",), "nat", "higher for what resembles no class"),
                "early_probability": Port(("item", "day", "class"), about="on each of predict.days"),
            },
            ragged=("observation",),
        )

    def after_step(self) -> None:
        """Lets the trunk fold what it gathered (batch norms)."""
        self.trunk.after_step()  # pyright: ignore[reportCallIssue]

    def _class_weights(self, targets: Int[Tensor, " n"]) -> Float[Tensor, " k"]:
        """How much an item of each class counts: n / (C n_c) under a balanced prior, else 1."""
        if not self.balanced:
            return torch.ones_like(self.class_weight)
        counts = torch.bincount(targets, minlength=len(self.class_weight)).clamp(min=1)
        return len(targets) / len(counts) / counts

    def _features(self, batch: Batch) -> tuple[Float[Tensor, "b l f"], Float[Tensor, "b l"]]:
        """Features of each observation and its rest-frame time [d]; no product of matrices, so in full precision."""
        unit = self.settings.flux_unit
        seen = Observations(
            batch["time"], batch["flux"] / unit, batch["flux_error"] / unit, batch["band"], batch["mask"]
        )
        near = self.frame(seen, batch["redshift"])
        extra = self.frame.features(seen, batch["redshift"], batch["redshift_error"])
        return torch.cat([observation_features(near, len(self.frame.wavelength)), extra], -1), near.time


def _last(mask: Tensor) -> Tensor:
    """Place (b, 1) of the last real observation."""
    return mask.sum(1, keepdim=True).clamp(min=1) - 1


def _place_on(time: Tensor, mask: Tensor, days: tuple[float, ...]) -> Tensor:
    """Places (b, n) of the last observation at or before each day since the trigger."""
    limits = torch.tensor(days, device=time.device, dtype=time.dtype)
    inside = (time.unsqueeze(-1) <= limits) & mask.unsqueeze(-1)
    return inside.sum(1).clamp(min=1) - 1


def _pick(values: Float[Tensor, "b l k"], place: Tensor) -> Float[Tensor, "b n k"]:
    return values.gather(1, place.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
