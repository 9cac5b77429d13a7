"""What a system made of a light curve along time: probability tracks and class activation maps."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from armillary.core.plotting import SHADES, legend_beside, series_style


def draw_track(
    axes: Axes, time: Float[np.ndarray, " t"], probability: Float[np.ndarray, "t k"], classes: Sequence[str]
) -> None:
    """Probability of each class after each observation."""
    for place, name in enumerate(classes):
        axes.step(time, probability[:, place], where="post", label=name, **series_style(place))
    axes.set(ylabel="Probability", ylim=(-0.02, 1.02))
    legend_beside(axes)


def draw_activation(figure: Figure, axes: Axes, time: Float[np.ndarray, " t"], activation: xr.DataArray) -> None:
    """Class activation map, scaled to [0, 1]; steps after the times (redshift) are left out."""
    values = activation.transpose("class", "time_step").values[:, : len(time)].astype(np.float64)
    span = values.max() - values.min()
    scaled = (values - values.min()) / (span if span > 0 else 1)
    names = [str(name) for name in activation["class"].values]
    mesh = axes.pcolormesh(time, np.arange(len(names)), scaled, cmap=SHADES, shading="nearest", rasterized=True)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    figure.colorbar(mesh, ax=axes, label="Activation (scaled)", pad=0.01)
