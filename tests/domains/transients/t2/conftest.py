"""Fabricated points and light curves, all made from a seed."""

from collections.abc import Callable

import numpy as np
import pytest

from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.settings import TransientsData, TransientsRun
from armillary.domains.transients.t2.points import Points
from armillary.domains.transients.t2.settings import T2Settings

BANDS = ("des_g", "des_r", "des_i", "des_z")
WAVELENGTHS = np.array([4720.0, 6415.0, 7835.0, 9260.0])


def _bump(time: np.ndarray, wavelength: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A rise and a fall around day 40, brighter in the red."""
    peak, width = rng.uniform(30, 50), rng.uniform(10, 25)
    return rng.uniform(30, 300) * (wavelength / 7000) * np.exp(-0.5 * ((time - peak) / width) ** 2)


@pytest.fixture
def make_points() -> Callable[..., Points]:
    def make(sizes: list[int], seed: int = 0) -> Points:
        rng, rows = np.random.default_rng(seed), sum(sizes)
        time = np.concatenate([np.sort(rng.uniform(0, 100, size)) for size in sizes])
        wavelength = rng.choice(WAVELENGTHS, rows)
        error = rng.uniform(2, 8, rows)
        parts = np.split(np.arange(rows), np.cumsum(sizes)[:-1])
        flux = np.concatenate([_bump(time[part], wavelength[part], rng) for part in parts]) + error * rng.normal(
            size=rows
        )
        return Points(time, wavelength, flux, error, np.array(sizes, np.int64))

    return make


@pytest.fixture
def make_curves() -> Callable[..., LightCurves]:
    def make(sizes: list[int], seed: int = 0, labels: tuple[str, ...] = ("Ia", "II")) -> LightCurves:
        rng, rows, n = np.random.default_rng(seed), sum(sizes), len(sizes)
        time = np.concatenate([56000 + np.sort(rng.uniform(0, 200, size)) for size in sizes])
        band_index = rng.integers(0, len(BANDS), rows).astype(np.int8)
        error = rng.uniform(2, 8, rows)
        flux = _bump(time - 56060, WAVELENGTHS[band_index], rng) + error * rng.normal(size=rows)
        detected = flux / error > 5
        detected[np.cumsum(sizes) - np.array(sizes) + np.array(sizes) // 3] = True
        unknown = np.full(n, np.nan, np.float32)
        return LightCurves(
            object_id=np.array([f"object{i}" for i in range(n)]),
            band=BANDS,
            wavelength=WAVELENGTHS,
            time=time,
            band_index=band_index,
            flux=flux.astype(np.float32),
            flux_error=error.astype(np.float32),
            detected=detected,
            row_size=np.array(sizes, np.int64),
            ra=np.zeros(n),
            dec=np.zeros(n),
            redshift=rng.uniform(0.1, 1, n).astype(np.float32),
            redshift_error=np.full(n, 0.05, np.float32),
            redshift_spec=unknown,
            mwebv=unknown,
            label=np.array([labels[i % len(labels)] for i in range(n)]),
            attrs={"zero_point": 27.5},
        )

    return make


@pytest.fixture
def make_run() -> Callable[..., TransientsRun]:
    def make(
        redshift: str = "photometric", bands: tuple[str, ...] = BANDS, classes: int = 2, **model: object
    ) -> TransientsRun:
        names = {f"class{i}": (("Ia", "II")[i] if i < 2 else f"label{i}",) for i in range(classes)}
        data = TransientsData(card="spcc", classes=names, bands=bands, redshift=redshift)
        return TransientsRun(recipe="transients/t2-spcc", data=data, model=T2Settings(**model))

    return make
