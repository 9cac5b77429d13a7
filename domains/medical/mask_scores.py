"""How well masks agree with drawn ones: Dice, intersection over union and a distance of outlines, by MONAI."""

import warnings

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Scores = dict[str, Float[Tensor, "b k"]]


def mask_scores(
    mask: Bool[Tensor, "b k *s"],
    truth: Float[Tensor, "b k *s"],
    spacing: Float[Tensor, "b r"] | None = None,
    inside: Bool[Tensor, "b 1 *s"] | None = None,
) -> Scores:
    """Dice and IoU in [0, 1], higher is better; "hd95" [mm, or pixels where a spacing is unknown], lower is better.

    truth: 1 where a structure is, 0 where not, NaN where nobody looked: such places count in neither mask, and neither
    do places that are not `inside`. spacing: distance of neighbours along each axis [mm], NaN unknown.

    Dice = 2 |A B| / (|A| + |B|) and IoU = |A B| / |A or B| are NaN where both masks are empty, which flatters neither
    way, and 0 where one of them is. The distance is NaN where either is empty. Nothing known of a structure: all NaN.
    """
    known = truth.isfinite() if inside is None else truth.isfinite() & inside
    found, true = mask & known, (truth > 0) & known
    sizes = [places.flatten(2).any(2) for places in (found, true)]
    some, both = sizes[0] | sizes[1], sizes[0] & sizes[1]
    nan = torch.full(some.shape, float("nan"), device=truth.device)
    return {
        **{name: torch.where(some, value, nan) for name, value in _overlaps(found, true).items()},
        "hd95": _distances(found, true, both, spacing).where(both, nan),
    }


def _overlaps(found: Bool[Tensor, "b k *s"], true: Bool[Tensor, "b k *s"]) -> Scores:
    """Dice and IoU; any number where both masks are empty."""
    # Here, because importing MONAI takes seconds.
    from monai.metrics.meandice import compute_dice
    from monai.metrics.meaniou import compute_iou

    masks = found.float(), true.float()
    return {
        "dice": compute_dice(*masks, include_background=True, ignore_empty=False),
        "iou": compute_iou(*masks, include_background=True, ignore_empty=False),
    }


def _distances(
    found: Bool[Tensor, "b k *s"],
    true: Bool[Tensor, "b k *s"],
    wanted: Bool[Tensor, "b k"],
    spacing: Float[Tensor, "b r"] | None,
) -> Float[Tensor, "b k"]:
    """The 95th percentile of the distances from either outline to the other, the larger one; where it is wanted."""
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    distances = torch.zeros(wanted.shape, device=true.device)
    for item, structure in wanted.nonzero().tolist():
        step = None if spacing is None else spacing[item]
        known = step is not None and bool((step.isfinite() & (step > 0)).all())
        place = slice(item, item + 1), slice(structure, structure + 1)
        with warnings.catch_warnings():
            # MONAI 1.6 warns of an argument that it passes to itself.
            warnings.simplefilter("ignore", FutureWarning)
            distances[place] = compute_hausdorff_distance(
                found[place],
                true[place],
                include_background=True,
                percentile=95,
                spacing=step.tolist() if known and step is not None else None,
            )
    return distances
