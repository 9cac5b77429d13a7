"""The images that a classifier is most wrong about, and where it looked."""

import numpy as np
import xarray as xr
from jaxtyping import Float64, Int64
from matplotlib.figure import Figure

from armillary.core.domain import Again, Items
from armillary.core.plotting import new_figure
from armillary.domains.medical.figures.pictures import SIDE, grid_of, image_of, show, some
from armillary.domains.medical.metrics.labels import Judged
from armillary.domains.medical.settings import MedicalRun

_CLIP = 1e-6
_HEAT = "inferno"
_LISTED = 3  # labels in a title


def label_losses(found: Judged) -> Float64[np.ndarray, "n k"]:
    """-log of the probability that was given to what is true of each label [nat]; NaN where it is unknown."""
    said = np.where(found.positive, found.probability, 1 - found.probability)
    return np.where(found.known, -np.log(np.clip(said, _CLIP, 1)), np.nan)


def worst_items(found: Judged, number: int) -> Int64[np.ndarray, " m"]:
    """Places of the items with the highest mean loss over their known labels, from the highest down."""
    losses = label_losses(found)
    known = np.flatnonzero(found.known.any(1))
    mean = np.nansum(losses[known], 1) / found.known[known].sum(1)
    return known[np.argsort(-mean, kind="stable")[:number]].astype(np.int64)


def worst_figure(items: Items, found: Judged, places: Int64[np.ndarray, " m"], exclusive: bool) -> Figure:
    """Thumbnails with the labels that cost most: what is true, and the probability of each label being there.

    exclusive: one of several classes is true; then it and the likeliest one are told.

    Names of images and patients are not shown.
    """
    shown = [image_of(items[(0, int(place))]) for place in places]
    figure, grid = grid_of(len(places), 3, shown[0].shape, 1 if exclusive else _LISTED)
    for axes, place, image in zip(grid, places, shown, strict=True):
        show(axes, image)
        axes.set_title((class_title if exclusive else _title)(found, int(place)), fontsize=7)
    return figure


def _title(found: Judged, place: int) -> str:
    losses = np.nan_to_num(label_losses(found)[place], nan=-1.0)
    lines: list[str] = []
    for k in np.argsort(-losses, kind="stable")[:_LISTED]:
        if losses[k] >= 0:
            lines.append(_label_title(found, place, int(k)))
    return "\n".join(lines)


def _label_title(found: Judged, place: int, k: int) -> str:
    there = "" if found.positive[place, k] else "no "
    return f"{there}{found.labels[k].replace('_', ' ')}: probability {found.probability[place, k]:.2f}"


def class_title(found: Judged, place: int) -> str:
    """The true class, and the likeliest one with its probability."""
    true, likeliest = int(found.target[place].argmax()), int(found.probability[place].argmax())
    names = [found.labels[k].replace("_", " ") for k in (true, likeliest)]
    return f"{names[0]}, taken for {names[1]}: {found.probability[place, likeliest]:.2f}"


def maps_figure(
    config: MedicalRun, items: Items, found: Judged, places: Int64[np.ndarray, " m"], again: Again
) -> Figure | None:
    """Each image beside itself under the map of the label that costs most, of classes the likeliest one.

    None where the model gives no maps.
    """
    how = "gradient" if config.predict.maps == "none" else config.predict.maps
    records = again(some(items, places), config.predict.model_copy(update={"maps": how}))
    if "map" not in records:
        return None
    figure = new_figure(4 * SIDE * 0.75, -(-len(places) // 2) * (SIDE * 0.75 + 0.3) + 0.25)
    grid = figure.subplots(-(-len(places) // 2), 4, squeeze=False).reshape(-1, 2)
    for (plain, warm), number, place in zip(grid, range(len(places)), places.tolist(), strict=False):
        exclusive = "class" in records.dims
        k = int((found.probability if exclusive else np.nan_to_num(label_losses(found), nan=-1.0))[place].argmax())
        image, heat = image_of(items[(0, place)]), _map_of(records, number, k)
        show(plain, image)
        show(warm, image)
        warm.imshow(heat, cmap=_HEAT, vmin=0, vmax=1, alpha=0.65 * heat)
        plain.set_title(class_title(found, place) if exclusive else _label_title(found, place, k), fontsize=7)
    for axes in grid[len(places) :].ravel():
        axes.set_axis_off()
    return figure


def _map_of(records: xr.Dataset, number: int, k: int) -> Float64[np.ndarray, "h w"]:
    """The map of a label over the picture that is shown; of a volume its middle plane."""
    axis = "label" if "label" in records.dims else "class"
    space = [name for name in ("plane", "row", "column") if name in records["map"].dims]
    heat = records["map"].isel({"item": number, axis: k}).transpose(*space).values.astype(np.float64)
    return np.nan_to_num(heat[len(heat) // 2] if heat.ndim == 3 else heat)
