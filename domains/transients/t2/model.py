"""The t2 network: a time-series transformer with global average pooling, built from the core.

References:
    Allam & McEwen 2021, "Paying Attention to Astronomical Transients: Introducing the Time-series Transformer for
    Photometric Classification", arXiv 2105.06178.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.channels import MLPSettings
from armillary.core.config.embeddings import LinearEmbeddingSettings, SinusoidalSettings
from armillary.core.config.heads import PooledSettings
from armillary.core.config.mixers import AttentionSettings
from armillary.core.config.norms import LayerNormSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.domain import Batch, Interface, Items, Port
from armillary.core.embeddings.linear import LinearEmbedding
from armillary.core.heads.pooled import PooledClassifier
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.transients.losses import class_balanced_log_loss
from armillary.domains.transients.settings import TransientsData, TransientsPredict
from armillary.domains.transients.t2.settings import T2Settings

_NORM_EPS = 1e-6
_NUM_REDSHIFT = 2  # the redshift and its error
_FIT_ITEMS = 4000  # objects from which the scaler is estimated


def trunk_settings(settings: T2Settings) -> TrunkSettings:
    """t2's encoder: post-norm blocks of attention and a ReLU network, dropout at the end of each branch.

    Other mixers or another channel mixer may stand in their place.
    """
    return TrunkSettings(
        width=settings.width,
        depth=settings.blocks,
        pattern=settings.pattern or (AttentionSettings(heads=settings.heads),),
        channel=settings.channel or MLPSettings(hidden=settings.feedforward, activation="relu"),
        norm=LayerNormSettings(eps=_NORM_EPS),
        placement="post",
        dropout=settings.dropout,
        final_norm=False,
    )


class T2(nn.Module):
    """Class scores of light curves that were interpolated to evenly spaced times.

    centre, spread: median and inter-quartile range of each band's flux in the training data.
    usual_redshift: what stands for an unknown redshift and error, their medians in the training data.
    """

    centre: Tensor
    spread: Tensor
    usual_redshift: Tensor

    def __init__(self, data: TransientsData, settings: T2Settings, trunk: nn.Module | None = None) -> None:
        super().__init__()
        bands = len(data.bands)
        self.redshift_mode = None if data.redshift == "none" else settings.redshift_mode
        features = bands + (_NUM_REDSHIFT if self.redshift_mode == "M" else 0)
        self.embedding = LinearEmbedding(
            settings.width,
            LinearEmbeddingSettings(features=features, activation="relu", position=SinusoidalSettings()),
        )
        self.trunk = Trunk(trunk_settings(settings)) if trunk is None else trunk
        self.head = PooledClassifier(
            self.trunk.output_width,  # pyright: ignore[reportArgumentType]
            PooledSettings(classes=len(data.classes), dropout=settings.dropout),
        )
        self.register_buffer("centre", torch.zeros(bands))
        self.register_buffer("spread", torch.ones(bands))
        self.register_buffer("usual_redshift", torch.zeros(_NUM_REDSHIFT))

    def fit(self, items: Items) -> None:
        """Robust scaling of each band, and the usual redshift, from the training split."""
        step = max(len(items) // _FIT_ITEMS, 1)
        batch = items.collate([items[(0, index)] for index in range(0, len(items), step)])
        flux = batch["gp_flux"].flatten(0, 1).numpy()
        low, median, high = (torch.from_numpy(part) for part in _quartiles(flux))
        self.centre.copy_(median)
        self.spread.copy_(torch.where(high > low, high - low, 1.0))
        self.usual_redshift.copy_(batch["redshift"].nanmedian(0).values.nan_to_num())

    def forward(self, batch: Batch) -> Float[Tensor, "b k"]:
        """Class scores."""
        return self.head(self.encode(batch["gp_flux"], batch["redshift"]))

    def logits(self, batch: Batch) -> Float[Tensor, "b k"]:
        """Class scores of a batch, as distillation asks for them."""
        return self(batch)

    def encode(self, flux: Float[Tensor, "b t f"], redshift: Float[Tensor, "b r"]) -> Tokens:
        """The last block's output: one token a time step and, in mode 'L', one for each redshift feature after them."""
        series = (flux - self.centre) / self.spread
        redshift = torch.where(redshift.isnan(), self.usual_redshift, redshift)
        if self.redshift_mode == "M":
            series = torch.cat([series, redshift.unsqueeze(1).expand(-1, series.shape[1], -1)], -1)
        elif self.redshift_mode == "L":
            series = torch.cat([series, redshift.unsqueeze(-1).expand(-1, -1, series.shape[2])], 1)
        return self.trunk(self.embedding(series))[0]

    def loss(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Class-balanced log loss; classes are counted in the batch."""
        return {"total": class_balanced_log_loss(self(batch).float(), batch["target"])}

    def predict(self, batch: Batch, options: TransientsPredict) -> Iterator[dict[str, Tensor]]:
        """Probabilities; with `maps`, the class activation maps; from items with early fluxes, those of each day."""
        tokens = self.encode(batch["gp_flux"], batch["redshift"])
        scores = self.head(tokens).float()
        output = {"probability": scores.softmax(-1), "open_set_score": -scores.logsumexp(-1)}
        if options.maps:
            output["activation_map"] = self.head.activation_maps(tokens).float()
        if "early_flux" in batch:
            output["early_probability"] = self._early(batch["early_flux"], batch["redshift"])
        yield output

    def calibrate(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Nothing: t2 reports the probabilities that its loss was trained on."""

    def interface(self) -> Interface:
        """Interpolated light curves to probabilities."""
        return Interface(
            inputs={
                "gp_flux": Port(
                    ("item", "time_step", "band"),
                    "FLUXCAL",
                    "of the Gaussian process at evenly spaced times, data.bands",
                ),
                "redshift": Port(("item", "redshift_feature"), about="redshift and its error; NaN where unknown"),
            },
            outputs={
                "probability": Port(("item", "class"), about="of each class"),
                "open_set_score": Port(("item",), "nat", "higher for what resembles no class"),
            },
        )

    def after_step(self) -> None:
        """Explicit updates of the trunk, where it has any."""
        self.trunk.after_step()  # pyright: ignore[reportCallIssue]

    def _early(self, flux: Float[Tensor, "b e t f"], redshift: Float[Tensor, "b r"]) -> Float[Tensor, "b e k"]:
        days = [self.head(self.encode(day, redshift)).float().softmax(-1) for day in flux.unbind(1)]
        return torch.stack(days, 1)


def _quartiles(flux: Float[np.ndarray, "rows f"]) -> Float[np.ndarray, "3 f"]:
    """25th, 50th and 75th percentile of each column."""
    return np.percentile(flux, (25, 50, 75), axis=0).astype(np.float32)
