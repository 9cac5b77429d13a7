"""The mixture itself, taken for every voice."""

import numpy as np
import xarray as xr
from jaxtyping import Float32

from armillary.core.domain import Item, Items
from armillary.domains.speech.baselines.judge import judge
from armillary.domains.speech.settings import SpeechRun


class MixtureBaseline:
    """What a listener has without any method: improvements are 0 dB by definition, scores are the input's."""

    def __init__(self, config: SpeechRun) -> None:
        self.config = config

    def fit(self, train: Items, validation: Items) -> None:
        """Nothing to learn."""

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the mixtures."""
        return judge(self.config, items, self._separate)

    def _separate(self, item: Item) -> Float32[np.ndarray, "k t"]:
        return np.tile(item["mixture"], (self.config.data.voices, 1))
