"""Items of t2: each light curve as a matrix of Gaussian-process fluxes, steps by bands."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64

from armillary.core.domain import Batch, Item
from armillary.core.errors import DataError
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.settings import TransientsData, TransientsRun
from armillary.domains.transients.t2.preparation import Window, interpolate, interpolate_early
from armillary.domains.transients.t2.settings import T2Settings


class T2Items:
    """Interpolated light curves, computed once for all objects; every epoch is the same.

    With `predict.track`, also the interpolation as it was on each of `predict.days`. Light curves without any label
    are taken to be classified once, and their interpolation is not cached.
    """

    def __init__(
        self, config: TransientsRun, curves: LightCurves, target: Int64[np.ndarray, " n"], problems: Sequence[DataError]
    ) -> None:
        assert isinstance(config.model, T2Settings)
        data, model = config.data, config.model
        self._config = config
        self.curves, self.targets, self.problems = curves, target, problems
        self.class_names = tuple(data.classes)
        self.ids = self.groups = curves.object_id
        window, cached = Window(data.days_before, data.days_after), bool((target >= 0).any())
        self.interpolated = interpolate(curves, window, model.steps, model.process, cached)
        self.redshift = _redshift(curves, data)
        self.early = None
        if config.predict.track and len(curves):
            self.early = interpolate_early(curves, window, model.steps, model.process, config.predict.days, cached)

    def select(self, indices: Int64[np.ndarray, " m"]) -> "T2Items":
        """The items at `indices` as a dataset of their own."""
        return T2Items(self._config, self.curves.select(indices), self.targets[indices], ())

    def __len__(self) -> int:
        return len(self.curves)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        _, index = key
        item = {
            "gp_flux": self.interpolated.flux[index],
            "gp_error": self.interpolated.error[index],
            "redshift": self.redshift[index],
            "target": int(self.targets[index]),
            "index": index,
        }
        return item if self.early is None else {**item, "early_flux": self.early[index]}

    def collate(self, items: Sequence[Item]) -> Batch:
        """gp_flux and gp_error (b, t, bands), redshift (b, 2), early_flux (b, days, t, bands), target, index (b,)."""
        arrays = [name for name in ("gp_flux", "gp_error", "redshift", "early_flux") if name in items[0]]
        batch: Batch = {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in arrays}
        for name in ("target", "index"):
            batch[name] = torch.tensor([item[name] for item in items], dtype=torch.int64)
        return batch


def _redshift(curves: LightCurves, data: TransientsData) -> Float32[np.ndarray, "n 2"]:
    """Redshift and its error as the run asks for them, NaN where unknown; a spectroscopic one has error 0."""
    if data.redshift == "spectroscopic":
        return np.stack([curves.redshift_spec, np.zeros_like(curves.redshift_spec)], 1)
    return np.stack([curves.redshift, curves.redshift_error], 1)
