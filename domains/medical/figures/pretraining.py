"""What a masked auto-encoder makes of images of which it sees little, and how large its errors are."""

import numpy as np
import xarray as xr
from jaxtyping import Int64
from matplotlib.figure import Figure

from armillary.core.domain import Again, Items
from armillary.core.plotting import BLUE, GREY, new_figure
from armillary.domains.medical.figures.pictures import SIDE, image_of, show, some
from armillary.domains.medical.settings import MedicalRun

_ROWS = 4  # images at most


def errors_figure(records: xr.Dataset) -> Figure:
    """Error of each image against that of saying the mean of what is visible, with the line of equality."""
    ours, mean = records["masked_error"].values, records["mean_error"].values
    figure = new_figure(4.2, 3.8)
    axes = figure.add_subplot()
    axes.scatter(mean, ours, s=10, color=BLUE, alpha=0.6, linewidths=0)
    top = 1.05 * float(np.nanmax(np.concatenate([ours, mean]), initial=1e-6))
    axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="Error of the visible mean", ylabel="Error of the network", xlim=(0, top), ylim=(0, top))
    better = float((ours < mean).mean())
    axes.set_title(f"Hidden patches: {100 * better:.0f} % of images are below the line", fontsize=8)
    return figure


def chosen_images(records: xr.Dataset, number: int) -> Int64[np.ndarray, " m"]:
    """Places of images from the largest to the smallest error, evenly chosen, the worst first."""
    order = np.argsort(-records["masked_error"].values, kind="stable")
    steps = np.linspace(0, len(order) - 1, min(number, _ROWS, len(order))).round().astype(np.int64)
    return order[np.unique(steps)].astype(np.int64)


def reconstruction_figure(
    config: MedicalRun, items: Items, places: Int64[np.ndarray, " m"], again: Again
) -> Figure | None:
    """Rows of an image and, for each of predict.ratios, what is visible of it and what the network fills in.

    None where the predictions do not hold `reconstruction` (item, ratio, channel, row, column) and `hidden` (item,
    ratio, row, column).
    """
    records = again(some(items, places), config.predict.model_copy(update={"keep_masks": True}))
    if "reconstruction" not in records or "hidden" not in records:
        return None
    ratios = [float(ratio) for ratio in records["ratio"].values]
    columns = 1 + 2 * len(ratios)
    figure = new_figure(columns * SIDE * 0.75, len(places) * SIDE * 0.75 + 0.5)
    grid = figure.subplots(len(places), columns, squeeze=False)
    for row, (number, place) in zip(grid, enumerate(places), strict=True):
        image = image_of(items[(0, int(place))])
        show(row[0], image)
        for k in range(len(ratios)):
            hidden = _plane(records["hidden"].isel(item=number, ratio=k).values) > 0.5
            show(row[1 + 2 * k], np.where(hidden if image.ndim == 2 else hidden[..., None], np.float32(0.5), image))
            filled = {"image": records["reconstruction"].isel(item=number, ratio=k).values}
            show(row[2 + 2 * k], np.clip(image_of(filled), 0, 1))
    grid[0, 0].set_title("Image", fontsize=8)
    for k, ratio in enumerate(ratios):
        grid[0, 1 + 2 * k].set_title(f"{100 * ratio:g} % hidden", fontsize=8)
        grid[0, 2 + 2 * k].set_title("Filled in", fontsize=8)
    return figure


def _plane(values: np.ndarray) -> np.ndarray:
    """The middle plane of a volume."""
    return values[len(values) // 2] if values.ndim == 3 else values
