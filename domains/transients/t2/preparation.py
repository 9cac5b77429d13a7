"""From light curves to t2's input: cut around the detections, interpolated by the Gaussian process, cached."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from armillary.core.files import atomic_write
from armillary.core.paths import cache_root
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.t2.points import Points
from armillary.domains.transients.t2.settings import GaussianProcessSettings

_FALLBACK_DAYS = 1000.0  # kept on both sides when the window holds nothing
_SMALLEST_ERROR = 1e-6  # of the largest flux
_CODE = ("points.py", "newton.py", "likelihood.py", "gaussian_process.py", "preparation.py")


@dataclass(frozen=True)
class Window:
    """Days kept before the first and after the last detection, both ends left out [d]."""

    before: float
    after: float


@dataclass(frozen=True)
class Interpolated:
    """Mean and standard deviation of the flux at evenly spaced times in each band, in the unit of the light curves."""

    flux: Float32[np.ndarray, "n t b"]
    error: Float32[np.ndarray, "n t b"]


def trim(curves: LightCurves, window: Window) -> LightCurves:
    """Observations in (first detection - before, last detection + after), the first of them at time 0.

    Where that is empty, +-1000 d are kept instead.

    Raises:
        ValueError: an object without any detection.
    """
    first, last = _detected_span(curves)
    kept = _within(curves, first - window.before, last + window.after)
    empty = np.add.reduceat(kept.astype(np.int64), curves.offsets[:-1]) == 0
    kept |= np.repeat(empty, curves.row_size) & _within(curves, first - _FALLBACK_DAYS, last + _FALLBACK_DAYS)
    shorter = curves.where(kept)
    start = np.minimum.reduceat(shorter.time, shorter.offsets[:-1])
    return replace(shorter, time=shorter.time - np.repeat(start, shorter.row_size))


def until(curves: LightCurves, day: float) -> LightCurves:
    """What was known `day` days after each object's first detection; at least up to that detection."""
    first, _ = _detected_span(curves)
    return curves.where(curves.time <= np.repeat(first + max(day, 0.0), curves.row_size))


def interpolate(
    curves: LightCurves, window: Window, steps: int, settings: GaussianProcessSettings, cached: bool = True
) -> Interpolated:
    """Gaussian-process mean and deviation at `steps` times from the first to the last kept observation, in each band.

    cached: look the result up below ARMILLARY_CACHE, by a digest of the observations, the settings and the code, and
    keep it there when it is new. Cached arrays are memory-mapped.
    """
    if len(curves) == 0:
        nothing = np.zeros((0, steps, len(curves.band)), np.float32)
        return Interpolated(nothing, nothing)
    if not cached:
        return _interpolate(curves, window, steps, settings)
    key = _digest(curves, window, steps, settings)
    path = cache_root() / "transients" / "t2" / f"{key}.npy"
    if not path.exists():
        found = _interpolate(curves, window, steps, settings)
        with atomic_write(path) as temporary:
            np.save(temporary, np.stack([found.flux, found.error]))
    flux, error = np.load(path, mmap_mode="r")
    return Interpolated(flux, error)


def interpolate_early(
    curves: LightCurves,
    window: Window,
    steps: int,
    settings: GaussianProcessSettings,
    days: tuple[float, ...],
    cached: bool = True,
) -> Float32[np.ndarray, "n days t b"]:
    """The mean as it was `days` days after each object's first detection: cut first, then fitted anew, so causal.

    Cost: one fit of every object for each day.
    """
    parts = [interpolate(until(curves, day), window, steps, settings, cached).flux for day in days]
    return np.stack(parts, 1)


def sample_times(curves: LightCurves, steps: int) -> Float64[np.ndarray, "n t"]:
    """`steps` evenly spaced times from the first to the last observation of each object [d]."""
    first = np.minimum.reduceat(curves.time, curves.offsets[:-1])
    last = np.maximum.reduceat(curves.time, curves.offsets[:-1])
    return np.linspace(first, last, steps, axis=1)


def to_points(curves: LightCurves) -> Points:
    """The observations as the Gaussian process takes them.

    Errors below a millionth of the object's largest flux are raised to it: float64 could not factorise the matrix.
    """
    peak = np.maximum.reduceat(np.abs(curves.flux), curves.offsets[:-1])
    floor = np.repeat(_SMALLEST_ERROR * peak, curves.row_size)
    return Points(
        time=curves.time.astype(np.float64),
        wavelength=curves.wavelength[curves.band_index],
        flux=curves.flux.astype(np.float64),
        flux_error=np.maximum(curves.flux_error, floor).astype(np.float64),
        row_size=curves.row_size,
    )


def _interpolate(curves: LightCurves, window: Window, steps: int, settings: GaussianProcessSettings) -> Interpolated:
    from armillary.domains.transients.t2.gaussian_process import fit, predict

    kept = trim(curves, window)
    points = to_points(kept)
    fitted = fit(points, settings)
    return Interpolated(*predict(points, fitted, sample_times(kept, steps), kept.wavelength, settings))


def _detected_span(curves: LightCurves) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Times of the first and last detection of each object."""
    starts = curves.offsets[:-1]
    if (curves.row_size < 1).any():
        raise ValueError(f"object {_name(curves, curves.row_size < 1)} has no observation; leave it out")
    first = np.minimum.reduceat(np.where(curves.detected, curves.time, np.inf), starts)
    last = np.maximum.reduceat(np.where(curves.detected, curves.time, -np.inf), starts)
    if not np.isfinite(first).all():
        raise ValueError(f"object {_name(curves, ~np.isfinite(first))} has no detection; leave it out")
    return first, last


def _within(curves: LightCurves, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    sizes = curves.row_size
    return (curves.time > np.repeat(low, sizes)) & (curves.time < np.repeat(high, sizes))


def _name(curves: LightCurves, bad: np.ndarray) -> str:
    return str(curves.object_id[int(np.argmax(bad))])


def _digest(curves: LightCurves, window: Window, steps: int, settings: GaussianProcessSettings) -> str:
    """Hexadecimal sha256 of everything that decides the numbers."""
    digest = hashlib.sha256(f"{window}|{steps}|{settings.model_dump_json()}|{curves.band}".encode())
    for name in _CODE:
        digest.update((Path(__file__).parent / name).read_bytes())
    for column in ("wavelength", "time", "band_index", "flux", "flux_error", "detected", "row_size"):
        values = np.ascontiguousarray(getattr(curves, column))
        digest.update(f"{column}{values.dtype}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
