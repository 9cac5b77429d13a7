"""A blind method that is trusted as far as it helped on the validation split."""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float64

from armillary.core.domain import Item, Items
from armillary.core.objectives.permutation import best_order, matched
from armillary.domains.speech.baselines.judge import Separate, judge
from armillary.domains.speech.settings import SpeechRun
from armillary.domains.speech.si_sdr import si_sdr_pairs


class BlendedBaseline:
    """share * what the method finds + (1 - share) * the mixture over the number of voices.

    The share, one of SHARES, is the one with the highest mean SI-SDR on the validation split, of which at most MOST
    evenly taken mixtures are looked at. Share 0 is the mixture: such a baseline does no harm where its method fails.
    """

    SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    MOST = 60

    def __init__(self, config: SpeechRun, separate: Separate) -> None:
        self.config, self.separate = config, separate
        self.share: float | None = None

    def fit(self, train: Items, validation: Items) -> None:
        """Choose the share."""
        if not len(validation):
            raise ValueError("a baseline needs validation mixtures to choose its share by, got none")
        chosen = range(0, len(validation), -(-len(validation) // self.MOST))
        found = np.mean([self._judged(validation[(0, index)]) for index in chosen], axis=0)
        self.share = self.SHARES[int(found.argmax())]

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the items."""
        if self.share is None:
            raise ValueError("the baseline is not fitted: call fit(train, validation) before predict(items)")
        share = self.share
        return judge(self.config, items, lambda item: blend(self.separate(item), item["mixture"], share))

    def _judged(self, item: Item) -> Float64[np.ndarray, " s"]:
        """Mean SI-SDR over the voices for each share."""
        sources = torch.from_numpy(item["sources"])[None]
        found, values = self.separate(item), []
        for share in self.SHARES:
            pairs = si_sdr_pairs(torch.from_numpy(blend(found, item["mixture"], share))[None], sources)
            values.append(float(matched(pairs, best_order(pairs)).mean()))
        return np.array(values)


def blend(found: np.ndarray, mixture: np.ndarray, share: float) -> np.ndarray:
    """share * found (k, t) + (1 - share) / k * mixture (t,)."""
    return (share * found + (1 - share) / len(found) * mixture).astype(np.float32)
