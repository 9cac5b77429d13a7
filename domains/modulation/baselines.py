"""The simple method reported beside every model: a random forest on expert features."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import xarray as xr
from jaxtyping import Float32, Int64
from sklearn.ensemble import RandomForestClassifier

from armillary.core.classification.log_loss import true_class_loss
from armillary.core.domain import Baseline, Items
from armillary.core.random import derive_seed
from armillary.domains.modulation.features import expert_features
from armillary.domains.modulation.items import FrameItems, GeneratedItems
from armillary.domains.modulation.settings import ModulationRun

Table = Float32[np.ndarray, "n f"]


def baselines(config: ModulationRun) -> Mapping[str, Baseline]:
    """The baselines of a run, by name."""
    return {"random_forest": RandomForestBaseline(config)}


class RandomForestBaseline:
    """A random forest on expert features whose leaf size has the lowest log loss on the validation split.

    At most MOST frames train it, evenly taken: more gain little, and published sets hold millions.

    References:
        Breiman 2001, "Random forests".
    """

    TREES = 200
    LEAVES = (2, 5)
    MOST = 50_000

    def __init__(self, config: ModulationRun) -> None:
        self.config = config
        self.forest: RandomForestClassifier | None = None

    def fit(self, train: Items, validation: Items) -> None:
        """Grow one forest a leaf size; keep the best."""
        inputs, targets = self._labelled(train)
        held_out, held_out_targets = self._labelled(validation)
        grown: list[tuple[float, RandomForestClassifier]] = []
        for leaf in self.LEAVES:
            forest = RandomForestClassifier(
                n_estimators=self.TREES,
                min_samples_leaf=leaf,
                n_jobs=self.config.train.threads or -1,
                random_state=derive_seed(self.config.seed, "baseline", "random_forest") % 2**31,
            ).fit(inputs, targets)
            loss = true_class_loss(self._probability(forest, held_out).astype(np.float64), held_out_targets).mean()
            grown.append((float(loss), forest))
        self.forest = min(grown, key=lambda pair: pair[0])[1]

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the items, with truth where it is known."""
        if self.forest is None:
            raise ValueError("the random forest is not fitted: call fit(train, validation) before predict(items)")
        frames = cast(FrameItems, items)
        probability = self._probability(self.forest, _table(frames, np.arange(len(frames), dtype=np.int64)))
        return xr.Dataset(
            {
                "probability": (("item", "class"), probability),
                "truth": ("item", np.asarray(frames.targets, np.int64)),
                "group": ("item", np.asarray(frames.groups).astype(np.str_)),
                "snr_db": ("item", np.asarray(frames.snr_db, np.float32), {"units": "dB"}),
            },
            {"item": np.asarray(frames.ids).astype(np.str_), "class": list(self.config.data.classes)},
        )

    def _probability(self, forest: RandomForestClassifier, inputs: Table) -> Float32[np.ndarray, "n k"]:
        probability = np.zeros((len(inputs), len(self.config.data.classes)), np.float32)
        if len(inputs):
            probability[:, forest.classes_] = forest.predict_proba(inputs)
        return probability

    def _labelled(self, items: Items) -> tuple[Table, Int64[np.ndarray, " n"]]:
        frames = cast(FrameItems | GeneratedItems, items)
        known = np.flatnonzero(np.asarray(frames.targets) >= 0).astype(np.int64)
        if not len(known):
            raise ValueError(f"a baseline needs frames of a known class, got {len(frames)} without; check data.classes")
        known = known[:: -(-len(known) // self.MOST)]
        return _table(frames, known), np.asarray(frames.targets, np.int64)[known]


def _table(items: FrameItems | GeneratedItems, chosen: Int64[np.ndarray, " n"]) -> Table:
    """Features of the chosen frames, read a part at a time."""
    parts = [expert_features(items.iq(part)) for part in np.array_split(chosen, max(1, len(chosen) // 4096))]
    return np.concatenate(parts)
