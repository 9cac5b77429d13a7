"""The simple methods reported beside every model: two tree ensembles on hand-made features."""

from collections.abc import Mapping
from typing import Any, cast

import lightgbm
import numpy as np
import xarray as xr
from jaxtyping import Float, Float32, Float64, Int64
from sklearn.ensemble import RandomForestClassifier

from armillary.core.classification.log_loss import true_class_loss
from armillary.core.domain import Baseline, Items
from armillary.core.random import derive_seed
from armillary.domains.transients.curve_items import CurveItems
from armillary.domains.transients.features import cached_features
from armillary.domains.transients.settings import TransientsRun


def baselines(config: TransientsRun) -> Mapping[str, Baseline]:
    """The baselines of a run, by name."""
    return {"random_forest": RandomForestBaseline(config), "lightgbm": LightGBMBaseline(config)}


class RandomForestBaseline:
    """A random forest whose leaf size has the lowest log loss on the validation split.

    While the trees grow, classes weigh as `data.prior` says. A class without training objects has probability 0.

    References:
        Breiman 2001, "Random forests".
    """

    TREES = 200
    LEAVES = (2, 5)

    def __init__(self, config: TransientsRun) -> None:
        self.config = config
        self.forest: RandomForestClassifier | None = None

    def fit(self, train: Items, validation: Items) -> None:
        """Grow one forest a leaf size; keep the best."""
        inputs, targets = _labelled(self.config, train)
        held_out, held_out_targets = _labelled(self.config, validation)
        grown: list[tuple[float, RandomForestClassifier]] = []
        for leaf in self.LEAVES:
            forest = self._grow(leaf, inputs, targets)
            probability = _spread(forest, held_out, _num_classes(train))
            grown.append((_loss(self.config, probability, held_out_targets), forest))
        self.forest = min(grown, key=lambda pair: pair[0])[1]

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the items, with truth where it is known."""
        if self.forest is None:
            raise ValueError("the random forest is not fitted: call fit(train, validation) before predict(items)")
        return _records(items, _spread(self.forest, _inputs(self.config, items), _num_classes(items)))

    def _grow(
        self, leaf: int, inputs: Float32[np.ndarray, "n f"], targets: Int64[np.ndarray, " n"]
    ) -> RandomForestClassifier:
        forest = RandomForestClassifier(
            n_estimators=self.TREES,
            min_samples_leaf=leaf,
            class_weight="balanced_subsample" if self.config.data.prior == "balanced" else None,
            n_jobs=self.config.train.threads or -1,
            random_state=_seed(self.config, "random_forest"),
        )
        return forest.fit(inputs, targets)


class LightGBMBaseline:
    """Gradient-boosted trees; their number has the lowest log loss on the validation split.

    Classes weigh as `data.prior` says. A class without training objects has next to no probability.

    References:
        Ke et al. 2017, "LightGBM: a highly efficient gradient boosting decision tree".
    """

    ROUNDS, PATIENCE = 3000, 60
    SETTINGS: Mapping[str, Any] = {
        "objective": "multiclass",
        "num_leaves": 15,
        "learning_rate": 0.03,
        "min_data_in_leaf": 20,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "feature_fraction": 0.3,
        "lambda_l2": 1.0,
        "deterministic": True,
        "force_col_wise": True,  # the layout is otherwise chosen by a timing, and sums depend on it
        "verbosity": -1,
    }

    def __init__(self, config: TransientsRun) -> None:
        self.config = config
        self.booster: lightgbm.Booster | None = None

    def fit(self, train: Items, validation: Items) -> None:
        """Boost until the validation split's log loss has not fallen for PATIENCE rounds."""
        settings = {
            **self.SETTINGS,
            "num_class": _num_classes(train),
            "num_threads": self.config.train.threads or 0,
            "seed": _seed(self.config, "lightgbm"),
        }
        fitted = _weighted(self.config, *_labelled(self.config, train))
        judged = _weighted(self.config, *_labelled(self.config, validation), reference=fitted)
        stop = lightgbm.early_stopping(self.PATIENCE, verbose=False)
        self.booster = lightgbm.train(settings, fitted, self.ROUNDS, valid_sets=[judged], callbacks=[stop])

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the items, with truth where it is known."""
        if self.booster is None:
            raise ValueError("LightGBM is not fitted: call fit(train, validation) before predict(items)")
        probability = self.booster.predict(_inputs(self.config, items), num_iteration=self.booster.best_iteration)
        # LightGBM gives no items no classes either.
        return _records(items, np.asarray(probability, np.float64).reshape(-1, _num_classes(items)))


def _weighted(
    config: TransientsRun,
    inputs: Float32[np.ndarray, "n f"],
    targets: Int64[np.ndarray, " n"],
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """LightGBM's data with weights as the prior says: each class present has the same total, or each object."""
    weight = 1 / np.bincount(targets)[targets] if config.data.prior == "balanced" else np.ones(len(targets))
    return lightgbm.Dataset(inputs, targets, weight=weight * len(weight) / weight.sum(), reference=reference)


def _inputs(config: TransientsRun, items: Items) -> Float32[np.ndarray, "n f"]:
    curves = cast(CurveItems, items).curves
    return cached_features(curves, config.data.bands, config.data.redshift, config.train.threads or -1).values


def _labelled(config: TransientsRun, items: Items) -> tuple[Float32[np.ndarray, "n f"], Int64[np.ndarray, " n"]]:
    """Features and targets of the items whose class is known."""
    targets = cast(CurveItems, items).targets
    known = targets >= 0
    if not known.any():
        raise ValueError(
            f"a baseline needs objects with a known class, got {len(targets)} objects without; check data.classes"
        )
    return _inputs(config, items)[known], targets[known]


def _num_classes(items: Items) -> int:
    return len(cast(CurveItems, items).class_names)


def _spread(
    forest: RandomForestClassifier, inputs: Float32[np.ndarray, "n f"], num_classes: int
) -> Float64[np.ndarray, "n k"]:
    """Probabilities of all classes; 0 for those the forest has not seen."""
    probability = np.zeros((len(inputs), num_classes))
    if len(inputs):
        probability[:, forest.classes_] = forest.predict_proba(inputs)
    return probability


def _loss(config: TransientsRun, probability: Float64[np.ndarray, "n k"], targets: Int64[np.ndarray, " n"]) -> float:
    """Log loss under the run's prior."""
    loss = true_class_loss(probability, targets)
    if config.data.prior == "natural":
        return float(loss.mean())
    return float(np.mean([loss[targets == k].mean() for k in np.unique(targets)]))


def _records(items: Items, probability: Float[np.ndarray, "n k"]) -> xr.Dataset:
    curve_items = cast(CurveItems, items)
    return xr.Dataset(
        {
            "probability": (("item", "class"), probability.astype(np.float32)),
            "truth": ("item", curve_items.targets),
            "group": ("item", np.asarray(curve_items.groups).astype(np.str_)),
        },
        {"item": np.asarray(curve_items.ids).astype(np.str_), "class": list(curve_items.class_names)},
    )


def _seed(config: TransientsRun, name: str) -> int:
    # Both libraries take 31 bits.
    return derive_seed(config.seed, "baseline", name) % 2**31
