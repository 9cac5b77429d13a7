"""What baselines of masks share: the threshold of each structure, and the scores of the items."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Float32, Int64

from armillary.core.domain import Item, Items
from armillary.domains.medical.assemble import assemble
from armillary.domains.medical.mask_scores import mask_scores
from armillary.domains.medical.mask_thresholds import HALF, best_thresholds, dice_curve
from armillary.domains.medical.settings import MedicalRun

Curve = Float[torch.Tensor, "1 k g"]  # Dice of one item by structure and threshold
# An item -> how likely each place belongs to each structure.
Guess = Callable[[Item], Float32[np.ndarray, "k *s"]]


def spread_out(number: int, most: int) -> Int64[np.ndarray, " m"]:
    """At most so many places, evenly spaced."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).astype(np.int64))


def chosen_thresholds(items: Items, guess: Guess) -> Float32[np.ndarray, " k"]:
    """For each structure the threshold of the best mean Dice; 0.5 where no item has it."""
    curves = [curve(items[(0, index)], guess) for index in range(len(items))]
    return best_thresholds(curves).numpy()


def curve(item: Item, guess: Guess) -> Curve:
    """Dice of one item by threshold."""
    truth = torch.from_numpy(np.asarray(item["mask"], np.float32))
    return dice_curve(torch.from_numpy(guess(item))[None], truth[None])


def judged(config: MedicalRun, items: Items, guess: Guess, thresholds: Float32[np.ndarray, " k"]) -> xr.Dataset:
    """Records of the items, as a segmenter's."""
    return assemble(
        config, items, [_scores(items[(0, index)], index, guess, thresholds) for index in range(len(items))]
    )


def _scores(item: Item, index: int, guess: Guess, thresholds: Float32[np.ndarray, " k"]) -> dict[str, np.ndarray]:
    probability = guess(item)
    mask = torch.from_numpy(probability >= thresholds.reshape(-1, *(1,) * (probability.ndim - 1)))[None]
    truth = torch.from_numpy(np.asarray(item["mask"], np.float32))[None]
    spacing = torch.from_numpy(np.asarray(item["spacing"], np.float32))[None]
    scores = mask_scores(mask, truth, spacing)
    return {
        "index": np.array([index], np.int64),
        "volume_share": mask.flatten(2).float().mean(2).numpy(),
        **{name: values.float().numpy() for name, values in scores.items()},
    }


def halves(number: int) -> Float32[np.ndarray, " k"]:
    """0.5 for each structure."""
    return np.full(number, HALF, np.float32)


def check_fitted(fitted: bool) -> None:
    """Raises ValueError where `fit` was not called."""
    if not fitted:
        raise ValueError("the baseline is not fitted: call fit(train, validation) before predict(items)")


def check_some(train: Items, validation: Items) -> None:
    """Raises ValueError where there is no item to learn from, or to choose by."""
    for name, items in (("training", train), ("validation", validation)):
        if not len(items):
            raise ValueError(f"a baseline needs {name} images with masks, got none; check data.names and the splits")


def mean_best(curves: Sequence[Curve]) -> Float32[np.ndarray, " k"]:
    """For each structure the mean Dice over items at the best threshold; -1 where no item has it."""
    values = torch.cat(list(curves)).numpy()
    known = np.isfinite(values)
    mean = np.where(known, values, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return np.where(known.any((0, 2)), mean.max(1), -1.0).astype(np.float32)
