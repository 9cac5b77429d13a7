"""What is bright, or dark, is the structure: one threshold on grey values."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import xarray as xr
from jaxtyping import Float32
from scipy.ndimage import uniform_filter
from scipy.special import expit

from armillary.core.domain import Item, Items
from armillary.domains.medical.baselines.masked import (
    Curve,
    check_fitted,
    check_some,
    chosen_thresholds,
    curve,
    halves,
    judged,
    mean_best,
    spread_out,
)
from armillary.domains.medical.settings import MedicalRun

_BACKGROUND = 16  # the shorter side over this is the width of the mean that is taken away


@dataclass(frozen=True)
class Look:
    """How grey values become a guess: the channel, whether a local mean is taken away, whether dark is sought."""

    channel: int = 0
    local: bool = False
    dark: bool = False

    def __call__(self, image: Float32[np.ndarray, "c *s"]) -> Float32[np.ndarray, " *s"]:
        """sigmoid(grey values without mean, over their deviation), so that thresholds fit images of any contrast."""
        grey = np.asarray(image[self.channel], np.float32)
        if self.local:
            grey = grey - uniform_filter(grey, max(3, min(grey.shape) // _BACKGROUND))
        spread = float(grey.std())
        centred = (grey - grey.mean()) / (spread if spread > 0 else 1.0)
        return expit(-centred if self.dark else centred).astype(np.float32)


class BrightnessBaseline:
    """For each structure one threshold on the grey values of a channel, with or without the local mean.

    Channel, local mean and polarity are those of the best Dice on at most MOST training images; the threshold is then
    chosen on validation.
    """

    MOST = 20

    def __init__(self, config: MedicalRun) -> None:
        self.config = config
        self._looks: Sequence[Look] | None = None
        self._thresholds = halves(len(config.data.names))

    def fit(self, train: Items, validation: Items) -> None:
        """Try every look on training images; then the thresholds of the best mean Dice on validation."""
        check_some(train, validation)
        tried = [Look(*choice) for choice in product(range(self.config.data.channels), (False, True), (False, True))]
        curves = [list[Curve]() for _ in tried]
        for place in spread_out(len(train), self.MOST):
            item = train[(0, int(place))]
            for found, look in zip(curves, tried, strict=True):
                found.append(curve(item, lambda item, look=look: self._guess(item, [look] * len(self._thresholds))))
        best = np.stack([mean_best(found) for found in curves]).argmax(0)
        self._looks = [tried[place] for place in best]
        # Half of a sigmoid is the mean grey value, which means nothing: the threshold is always chosen.
        self._thresholds = chosen_thresholds(validation, self._chosen)

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the items, as a segmenter's."""
        check_fitted(self._looks is not None)
        return judged(self.config, items, self._chosen, self._thresholds)

    def _chosen(self, item: Item) -> Float32[np.ndarray, "k *s"]:
        assert self._looks is not None
        return self._guess(item, self._looks)

    def _guess(self, item: Item, looks: Sequence[Look]) -> Float32[np.ndarray, "k *s"]:
        seen = {look: look(item["image"]) for look in set(looks)}
        return np.stack([seen[look] for look in looks])
