"""Every patient looks like the mean of the others: the mean of the training masks at one threshold."""

import numpy as np
import xarray as xr
from jaxtyping import Float32

from armillary.core.domain import Item, Items
from armillary.domains.medical.assemble import resized
from armillary.domains.medical.baselines.masked import (
    check_fitted,
    check_some,
    chosen_thresholds,
    halves,
    judged,
    spread_out,
)
from armillary.domains.medical.baselines.shrunk import of_size
from armillary.domains.medical.settings import MedicalRun

Masks = Float32[np.ndarray, "k *s"]
_SIDE = {2: 512, 3: 128}  # of the atlas, by the number of axes


class AtlasBaseline:
    """The mean training mask of each structure, brought to an image's size, from the threshold that suits validation.

    Places that nobody looked at do not count in the mean. A structure that was never drawn is found nowhere. Of more
    than MOST training images evenly spaced ones are taken.
    """

    MOST = 500

    def __init__(self, config: MedicalRun) -> None:
        self.config = config
        self._atlas: Masks | None = None
        self._thresholds = halves(len(config.data.names))

    def fit(self, train: Items, validation: Items) -> None:
        """The mean of the training masks; then the thresholds of the best mean Dice on validation."""
        check_some(train, validation)
        size: list[int] | None = None
        total = weight = np.zeros(())
        for place in spread_out(len(train), self.MOST):
            mask = np.asarray(train[(0, int(place))]["mask"], np.float32)
            size = size or [min(extent, _SIDE[mask.ndim - 1]) for extent in mask.shape[1:]]
            known = np.isfinite(mask)
            total = total + of_size(np.where(known, mask, 0.0), size)
            weight = weight + of_size(known.astype(np.float32), size)
        self._atlas = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0).astype(np.float32)
        # A share of patients is no probability of a network: one half of it means nothing.
        self._thresholds = chosen_thresholds(validation, self._guess)

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the items, as a segmenter's."""
        check_fitted(self._atlas is not None)
        return judged(self.config, items, self._guess, self._thresholds)

    def _guess(self, item: Item) -> Masks:
        assert self._atlas is not None
        return resized(self._atlas[None], item["image"].shape[1:])[0]
