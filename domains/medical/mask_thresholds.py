"""From which probability a pixel belongs to a structure."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

HALF = 0.5
_STEPS = 19  # 0.05, 0.10, ..., 0.95


def best_thresholds(curves: Iterable[Float[Tensor, "b k g"]]) -> Float[Tensor, " k"]:
    """For each structure the threshold of the highest mean Dice over items; 0.5 where no item has the structure.

    Of equally good ones, the one nearest to 0.5.
    """
    curve = torch.cat(list(curves))
    known = curve.isfinite()
    mean = curve.nan_to_num().sum(0) / known.sum(0).clamp(min=1)
    grid = threshold_grid(curve.device)
    best = grid[(mean - 1e-6 * (grid - HALF).abs()).argmax(-1)]
    return torch.where(known.any(0).any(-1), best, HALF)


def dice_curve(
    probability: Float[Tensor, "b k *s"], truth: Float[Tensor, "b k *s"], inside: Bool[Tensor, "b 1 *s"] | None = None
) -> Float[Tensor, "b k g"]:
    """Dice of {probability >= threshold} for a grid of thresholds; NaN where nothing of a structure is drawn.

    Places whose truth is NaN, or which are not `inside`, do not count. Costs one pass over the pixels, not one for each
    threshold.
    """
    known = truth.isfinite() if inside is None else truth.isfinite() & inside
    rows, steps = probability.shape[0] * probability.shape[1], _STEPS + 1
    # How many thresholds a place reaches.
    reached = torch.bucketize(probability.contiguous(), threshold_grid(probability.device), right=True)
    first = torch.arange(rows, device=truth.device).reshape(*probability.shape[:2], *(1,) * (probability.ndim - 2))
    bins = reached + steps * first

    def counts(places: Bool[Tensor, "b k *s"]) -> Float[Tensor, "b k g"]:
        number = torch.bincount(bins[places], minlength=rows * steps).reshape(*probability.shape[:2], steps)
        return number.flip(-1).cumsum(-1).flip(-1).double()

    true, found = counts(known & (truth > 0)), counts(known)
    drawn = true[..., :1]
    dice = 2 * true[..., 1:] / (found[..., 1:] + drawn)
    return torch.where(drawn > 0, dice, float("nan")).float()


def threshold_grid(device: torch.device) -> Float[Tensor, " g"]:
    """The thresholds that are tried."""
    return torch.arange(1, _STEPS + 1, device=device) / (_STEPS + 1)
