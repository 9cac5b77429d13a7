"""True and predicted masks over their images, and how good the masks of each structure are."""

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float64, Int64
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import binary_erosion

from armillary.core.domain import Again, Items
from armillary.core.plotting import BLACK, BLUE, ORANGE, SKY, new_figure
from armillary.core.random import derive_rng
from armillary.domains.medical.figures.pictures import grid_of, image_of, show, some
from armillary.domains.medical.settings import MedicalRun
from armillary.domains.medical.writers.said import masks_of

TRUTH, FOUND = SKY, ORANGE
_THIN = 0.5  # share of a mask's pixels on its edge above which contours would hide it
_LINES = 160  # lines that fit side by side into a picture
_MOST_POINTS = 300


def worst_masks(records: xr.Dataset, number: int) -> Int64[np.ndarray, " m"]:
    """Places of the items with the lowest mean Dice, from the lowest up."""
    mean = _mean_dice(records)
    known = np.flatnonzero(np.isfinite(mean))
    return known[np.argsort(mean[known], kind="stable")[:number]].astype(np.int64)


def overlay_figure(
    config: MedicalRun, records: xr.Dataset, items: Items, places: Int64[np.ndarray, " m"], again: Again | None
) -> Figure:
    """Images with the contours of the true masks and, where `again` can be asked, of the predicted ones.

    Thin structures are filled instead: what both have in white, what only one has in its colour. Of a volume the plane
    with most of the truth is shown.
    """
    predicted = None
    if again is not None:
        predicted = again(some(items, places), config.predict.model_copy(update={"keep_masks": True}))
        predicted = predicted if "probability" in predicted else None
    first = image_of(items[(0, int(places[0]))])
    figure, grid = grid_of(len(places), 3, first.shape, 1 + len(records["structure"]) // 2)
    for number, (axes, place) in enumerate(zip(grid, places, strict=True)):
        item = items[(0, int(place))]
        truth = np.nan_to_num(np.asarray(item["mask"])) > 0.5
        found = None if predicted is None else masks_of(predicted, number).found
        if found is not None:
            # Smaller images of a batch were filled up at their far ends.
            found = found[(slice(None), *(slice(size) for size in truth.shape[1:]))]
        plane = int(truth.sum((0, 2, 3)).argmax()) if truth.ndim == 4 else None
        if plane is not None:
            truth, found = truth[:, plane], None if found is None else found[:, plane]
        show(axes, image_of(item, plane))
        _draw(axes, truth, found)
        axes.set_title(_title(records, int(place)), fontsize=7)
    handles = [Line2D([], [], color=TRUTH, label="truth")]
    if predicted is not None:
        handles.append(Line2D([], [], color=FOUND, label="predicted"))
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=7)
    return figure


def dice_figure(records: xr.Dataset) -> Figure | None:
    """Dice of every image by structure: points, and the box of their quartiles. None without any."""
    names = [str(name) for name in records["structure"].values]
    values = records["dice"].transpose("item", "structure").values.astype(np.float64)
    known = [values[np.isfinite(values[:, k]), k] for k in range(len(names))]
    kept = [k for k in range(len(names)) if len(known[k])]
    if not kept:
        return None
    figure = new_figure(max(3.6, 1.4 + 0.7 * len(kept)), 3.4)
    axes = figure.add_subplot()
    axes.boxplot(
        [known[k] for k in kept], positions=range(len(kept)), widths=0.5, showfliers=False,
        medianprops={"color": BLACK}, whis=(0, 100),
    )  # fmt: skip
    rng = derive_rng("strip")
    for place, k in enumerate(kept):
        shown = known[k][:: -(-len(known[k]) // _MOST_POINTS)]
        axes.scatter(place + rng.uniform(-0.15, 0.15, len(shown)), shown, s=10, color=BLUE, alpha=0.6, linewidths=0)
    labels = [f"{names[k].replace('_', ' ')}\n{np.median(known[k]):.3f}" for k in kept]
    turn = 0 if len(kept) < 5 else 45
    axes.set_xticks(range(len(kept)), labels, rotation=turn, ha="center" if turn == 0 else "right")
    lowest = min(float(known[k].min()) for k in kept)
    axes.set(ylabel="Dice (below: median)", ylim=(max(lowest - 0.05, -0.02), 1.005))
    return figure


def _draw(axes: Axes, truth: Bool[np.ndarray, "k h w"], found: Bool[np.ndarray, "k h w"] | None) -> None:
    for k, mask in enumerate(truth):
        guess = None if found is None else found[k]
        if guess is not None and is_thin(mask):
            _fill(axes, mask, guess)
            continue
        for drawn, colour in ((mask, TRUTH), (guess, FOUND)):
            if drawn is not None and drawn.any():
                # A margin, so that what touches the edge is closed there.
                padded = np.pad(drawn.astype(np.float32), 1)
                x, y = np.arange(padded.shape[1]) - 1, np.arange(padded.shape[0]) - 1
                axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=1.1)
    axes.set(xlim=(-0.5, truth.shape[2] - 0.5), ylim=(truth.shape[1] - 0.5, -0.5))


def _fill(axes: Axes, truth: Bool[np.ndarray, "h w"], found: Bool[np.ndarray, "h w"]) -> None:
    layer = np.zeros((*truth.shape, 4))
    for mask, colour in ((truth & found, "white"), (truth & ~found, TRUTH), (found & ~truth, FOUND)):
        layer[mask] = to_rgba(colour, 0.9)
    axes.imshow(layer, interpolation="nearest")


def is_thin(mask: Bool[np.ndarray, "h w"]) -> bool:
    """Whether so much of a mask is edge, as wide as lines are drawn, that a contour would cover it."""
    width = max(1, round(min(mask.shape) / _LINES))
    inner = np.asarray(binary_erosion(mask, iterations=width), np.bool_)
    return bool((mask & ~inner).sum() > _THIN * mask.sum())


def _mean_dice(records: xr.Dataset) -> Float64[np.ndarray, " n"]:
    values = records["dice"].transpose("item", "structure").values.astype(np.float64)
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(1)
    return np.divide(total, known.sum(1), out=np.full(len(total), np.nan), where=known.any(1))


def _title(records: xr.Dataset, place: int) -> str:
    """Dice of each structure, two a line."""
    values = records["dice"].isel(item=place).values
    names = [str(name).replace("_", " ") for name in records["structure"].values]
    told = [f"{name} {value:.2f}" for name, value in zip(names, values, strict=True) if np.isfinite(value)]
    lines = [", ".join(told[start : start + 2]) for start in range(0, len(told), 2)]
    return "Dice: " + ",\n".join(lines)
