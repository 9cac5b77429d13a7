"""Images of items as they are shown, and the places of those that are."""

from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from armillary.core.domain import Items
from armillary.core.plotting import GREY, new_figure
from armillary.domains.medical.notice import NOTICE

SIDE = 2.1  # inch, of a picture
_FAR = 2.5  # the longer side of a picture over the shorter, at most


@runtime_checkable
class Selectable(Items, Protocol):
    """Items of which some can be taken."""

    def select(self, indices: Int64[np.ndarray, " m"]) -> Items:
        """Those at the places, as items of their own."""
        ...


def some(items: Items, places: Int64[np.ndarray, " m"]) -> Items:
    """The items at some places."""
    return cast(Selectable, items).select(places)


def image_of(item: Mapping[str, Any], plane: int | None = None) -> Float32[np.ndarray, "h w *c"]:
    """Grey (h, w) or colour (h, w, 3) of an item; of a volume the plane given, or the middle one."""
    image = np.asarray(item["image"], np.float32)
    if image.ndim == 4:
        image = image[:, image.shape[1] // 2 if plane is None else plane]
    if len(image) == 3 and not (np.array_equal(image[0], image[1]) and np.array_equal(image[0], image[2])):
        return np.clip(image, 0, 1).transpose(1, 2, 0)
    return image[0]


def show(axes: Axes, image: Float32[np.ndarray, "h w *c"]) -> None:
    """The image without ticks; grey from 0 to 1, colour as it is."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def grid_of(count: int, columns: int, shape: tuple[int, ...], title_lines: int) -> tuple[Figure, list[Axes]]:
    """A figure with places for `count` pictures of a shape (rows, columns) and titles; the rest is empty."""
    columns = min(columns, count)
    rows = -(-count // columns)
    tall = float(np.clip(shape[0] / max(shape[1], 1), 1 / _FAR, _FAR))
    figure = new_figure(columns * SIDE + 0.3, rows * (SIDE * tall + 0.16 * title_lines + 0.1) + 0.25)
    grid = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def put_notice(figure: Figure) -> None:
    """The sentence that belongs to every figure, small at the bottom."""
    figure.supxlabel(NOTICE, x=0.995, ha="right", fontsize=6.5, color=GREY)
