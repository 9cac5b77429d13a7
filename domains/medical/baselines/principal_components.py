"""Principal components of the pixels and a logistic regression: what a method knows that sees no shapes."""

from typing import cast

import numpy as np
import xarray as xr
from jaxtyping import Float32, Float64
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from armillary.core.classification.log_loss import CLIP
from armillary.core.domain import Items
from armillary.core.random import derive_seed
from armillary.domains.medical.assemble import KnownItems, assemble
from armillary.domains.medical.baselines.shrunk import shrunk_pixels
from armillary.domains.medical.settings import MedicalRun
from armillary.domains.medical.thresholds import HALF, sensitive_thresholds, youden_thresholds

LEAST = 2  # positives and negatives that a regression needs

Table = Float32[np.ndarray, "n f"]
Target = Float32[np.ndarray, "n k"]
Probability = Float64[np.ndarray, "n k"]


class PrincipalComponentsBaseline:
    """60 principal components of standardised pixels, and a logistic regression for each label, or of the classes.

    One strength of the penalty for all labels, that of the lowest log loss on validation. A label with fewer than two
    positives or negatives in training has the share of its positives as probability. Of more than MOST training images
    evenly spaced ones are taken. Thresholds are chosen on validation as for a network.
    """

    COMPONENTS = 60
    STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    MOST = 10_000

    def __init__(self, config: MedicalRun) -> None:
        self.config = config
        self._pixels: Pipeline | None = None
        self._heads: Heads | None = None
        self._threshold = np.full(len(config.data.names), HALF, np.float32)

    def fit(self, train: Items, validation: Items) -> None:
        """Components of the training images; then the penalty and the thresholds on validation."""
        table, target = self._known(train)
        held_out, held_out_target = self._known(validation)
        self._pixels = self._components(table)
        inputs, judged = self._pixels.transform(table), self._pixels.transform(held_out)
        found = [Heads(self.config, strength).fit(inputs, target) for strength in self.STRENGTHS]
        losses = [_loss(heads.probability(judged), held_out_target) for heads in found]
        self._heads = found[int(np.argmin(losses))]
        self._threshold = self._thresholds(self._heads.probability(judged), held_out_target)

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the items, as a network's."""
        if self._pixels is None or self._heads is None:
            raise ValueError("the baseline is not fitted: call fit(train, validation) before predict(items)")
        index = np.arange(len(items), dtype=np.int64)
        if not len(index):
            return assemble(self.config, items, [])
        probability = self._heads.probability(self._pixels.transform(shrunk_pixels(items, index)))
        threshold = np.broadcast_to(self._threshold, probability.shape)
        return assemble(
            self.config,
            items,
            [{"index": index, "probability": probability.astype(np.float32), "threshold": threshold}],
        )

    def _components(self, table: Table) -> Pipeline:
        seed = derive_seed(self.config.seed, "baseline", "pca_logistic") % 2**31
        count = min(self.COMPONENTS, *table.shape)
        return make_pipeline(StandardScaler(), PCA(count, svd_solver="randomized", random_state=seed)).fit(table)

    def _known(self, items: Items) -> tuple[Table, Target]:
        """Pixels and targets of the images of which anything is known."""
        target = np.asarray(cast(KnownItems, items).targets, np.float32)
        places = np.flatnonzero(~np.isnan(target).all(1)).astype(np.int64)
        if not len(places):
            raise ValueError(
                f"a baseline needs images with a known label, got {len(target)} images without; check data.names"
            )
        places = places[:: -(-len(places) // self.MOST)]
        return shrunk_pixels(items, places), target[places]

    def _thresholds(self, probability: Probability, target: Target) -> Float32[np.ndarray, " k"]:
        options = self.config.predict
        if options.threshold == "half":
            return np.full(target.shape[1], HALF, np.float32)
        if options.threshold == "youden":
            return youden_thresholds(probability, target)
        return sensitive_thresholds(probability, target, options.sensitivity)


class Heads:
    """Logistic regressions of one strength of the penalty: one a label, or one of all classes."""

    def __init__(self, config: MedicalRun, strength: float) -> None:
        self.strength, self._exclusive = strength, config.data.task == "classes"
        self._models: list[LogisticRegression | None] = []
        self._shares = np.full(len(config.data.names), HALF)  # stands for a label without a model

    def fit(self, inputs: Float32[np.ndarray, "n f"], target: Target) -> "Heads":
        """On the images whose label is known."""
        if self._exclusive:
            known = ~np.isnan(target).any(1)
            self._shares = target[known].mean(0, dtype=np.float64)
            several = (self._shares > 0).sum() > 1
            self._models = [self._fitted(inputs[known], target[known].argmax(1)) if several else None]
            return self
        for k, label in enumerate(target.T):
            known = ~np.isnan(label)
            positive = label[known] > 0.5
            enough = min(positive.sum(), (~positive).sum()) >= LEAST
            self._shares[k] = positive.mean() if known.any() else HALF
            self._models.append(self._fitted(inputs[known], positive.astype(np.int64)) if enough else None)
        return self

    def probability(self, inputs: Float32[np.ndarray, "n f"]) -> Probability:
        """Of each label, or class; 0 for a class that was never seen."""
        found = np.tile(self._shares, (len(inputs), 1))
        for k, model in enumerate(self._models):
            if model is None:
                continue
            said = model.predict_proba(inputs)
            if self._exclusive:
                found[:] = 0.0
                found[:, model.classes_] = said
            else:
                found[:, k] = said[:, 1]
        return found

    def _fitted(self, inputs: Float32[np.ndarray, "n f"], target: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=self.strength, max_iter=2000).fit(inputs, target)


def _loss(probability: Probability, target: Target) -> float:
    """Binary cross entropy of what is known: of several classes, it ranks penalties much as the log loss does."""
    known = ~np.isnan(target)
    said = np.where(target > 0.5, probability, 1 - probability)[known]
    return float(-np.log(np.clip(said, CLIP, 1.0)).mean())
