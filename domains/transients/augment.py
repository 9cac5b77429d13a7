"""Changed copies of a training light curve: cut short, thinned, noisier, dimmer, at another redshift.

All randomness comes from one NumPy generator an object, so an augmented item is a function of (seed, epoch, index)
whatever else is in its batch. Objects are never mixed. The order of changes: truncate, drop, redshift and depth,
noise, photometric redshift; then times count from the new first detection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from armillary.domains.transients.cosmology import log_luminosity_distance
from armillary.domains.transients.settings import AugmentSettings
from armillary.domains.transients.shift_bands import interpolate_bands

DETECTION_SNR = 5.0
MIN_OBSERVATIONS = 6  # a change that would leave fewer is not made
_MIN_REDSHIFT = 0.005  # below it (and for NaN) there is no distance to change
_NUM_SCALARS = 8  # uniform numbers an object draws, whatever the settings: a setting does not shift another's draws


@dataclass(frozen=True)
class Observations:
    """A batch of light curves, padded on the right; mask is True for real observations.

    time: days since the first detection [d], in order; flux, flux_error [FLUXCAL]; band: place in the wavelengths.
    """

    time: Float[np.ndarray, "b l"]
    flux: Float[np.ndarray, "b l"]
    flux_error: Float[np.ndarray, "b l"]
    band: Int[np.ndarray, "b l"]
    mask: Bool[np.ndarray, "b l"]
    redshift: Float[np.ndarray, " b"]
    redshift_error: Float[np.ndarray, " b"]


@dataclass(frozen=True)
class _Draws:
    """Random numbers: uniform ones and normal ones an object, one uniform and two normal ones an observation."""

    uniform: Float64[np.ndarray, "b 8"]
    normal: Float64[np.ndarray, "b 2"]
    keep: Float64[np.ndarray, "b l"]
    noise: Float64[np.ndarray, "2 b l"]


def changes(settings: AugmentSettings) -> bool:
    """Whether any change is asked for; without one `augment` gives back what it got."""
    amounts = (settings.truncate, settings.drop, settings.noise, settings.redshift, settings.depth, settings.photo_z)
    return any(amount > 0 for amount in amounts)


def augment(
    item: Mapping[str, Any],
    settings: AugmentSettings,
    wavelength: Float64[np.ndarray, " bands"],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """A changed copy of one item.

    item: time [d] since the first detection, flux, flux_error, band (each (l,)), redshift, redshift_error (floats,
    NaN unknown, 0 in our Galaxy); further keys pass through. wavelength: of each band [Angstrom].
    """
    if not changes(settings) or not len(item["time"]):
        return dict(item)
    one = Observations(
        time=np.asarray(item["time"])[None],
        flux=np.asarray(item["flux"])[None],
        flux_error=np.asarray(item["flux_error"])[None],
        band=np.asarray(item["band"])[None],
        mask=np.ones((1, len(item["time"])), np.bool_),
        redshift=np.array([item["redshift"]], np.float64),
        redshift_error=np.array([item["redshift_error"]], np.float64),
    )
    changed = augment_batch(one, settings, wavelength, [rng])
    kept = int(changed.mask.sum())
    rows = {name: getattr(changed, name)[0, :kept] for name in ("time", "flux", "flux_error", "band")}
    scalars = {name: float(getattr(changed, name)[0]) for name in ("redshift", "redshift_error")}
    return {**item, **rows, **scalars}


def augment_batch(
    observations: Observations,
    settings: AugmentSettings,
    wavelength: Float64[np.ndarray, " bands"],
    rngs: Sequence[np.random.Generator],
) -> Observations:
    """Changed copies of a batch, with one generator an object; row i equals `augment` of object i alone."""
    if not changes(settings):
        return observations
    draws = _draw(rngs, observations.mask)
    mask = _truncate(observations, settings, draws)
    mask = _drop(mask, settings, draws)
    moved = _move(replace(observations, mask=mask), settings, wavelength, draws)
    noisy = _add_noise(moved, settings, draws)
    redshift = _redraw_photo_z(noisy, settings, draws)
    return _from_first_detection(_compact(replace(noisy, redshift=redshift)))


def _draw(rngs: Sequence[np.random.Generator], mask: Bool[np.ndarray, "b l"]) -> _Draws:
    """Each object draws for its own observations only, so padding does not change its numbers."""
    uniform, normal = np.zeros((len(rngs), _NUM_SCALARS)), np.zeros((len(rngs), 2))
    keep, noise = np.zeros(mask.shape), np.zeros((2, *mask.shape))
    for i, (rng, length) in enumerate(zip(rngs, mask.sum(1).tolist(), strict=True)):
        uniform[i] = rng.random(_NUM_SCALARS)
        normal[i] = rng.standard_normal(2)
        keep[i, :length] = rng.random(length)
        noise[:, i, :length] = rng.standard_normal((2, length))
    return _Draws(uniform, normal, keep, noise)


def _truncate(observations: Observations, settings: AugmentSettings, draws: _Draws) -> Bool[np.ndarray, "b l"]:
    """For a share `truncate` of objects, keep t <= 3 d + U (last t) and all up to the first detection (t <= 0)."""
    time, mask = observations.time, observations.mask
    last = np.where(mask, time, -np.inf).max(1, initial=-np.inf)
    chosen = draws.uniform[:, 0] < settings.truncate
    end = np.where(chosen, np.maximum(draws.uniform[:, 1] * last, 0.0) + 3.0, np.inf)
    return _unless_too_few(mask, mask & (time <= end[:, None]))


def _drop(mask: Bool[np.ndarray, "b l"], settings: AugmentSettings, draws: _Draws) -> Bool[np.ndarray, "b l"]:
    """Drop each observation with probability U `drop`, U one number an object."""
    return _unless_too_few(mask, mask & (draws.keep >= draws.uniform[:, 2:3] * settings.drop))


def _unless_too_few(before: Bool[np.ndarray, "b l"], after: Bool[np.ndarray, "b l"]) -> Bool[np.ndarray, "b l"]:
    enough = after.sum(1) >= MIN_OBSERVATIONS
    return np.where(enough[:, None], after, before)


def _move(
    observations: Observations,
    settings: AugmentSettings,
    wavelength: Float64[np.ndarray, " bands"],
    draws: _Draws,
) -> Observations:
    """Flux and time at another redshift and depth, with the noise that the survey adds to a fainter object.

    With r = (1+z')/(1+z): t' = r t; F' = s F and e1 = s e with s = r (D_L(z) / D_L(z'))^2 10^(-0.4 dm) (flux per
    frequency, hence the factor r); the error stays that of the survey, e' = max(e, e1), and noise of variance
    e'^2 - e1^2 is added. With `shift_bands`, F and e are first interpolated to the wavelength lambda / r that the band
    sees after the move. An object that would lose its last detection stays where it was. With `detections_only`, what
    falls below 5 sigma is not in the survey's table and leaves.

    References:
        Boone 2019, "Avocado: photometric classification of astronomical transients with Gaussian process
        augmentation", section 3.3 (the same steps on a Gaussian process).
    """
    redshift, ratio, scale = _new_redshift(observations, settings, draws)
    scale = scale * _dimming(observations, settings, draws)
    flux, error = observations.flux, observations.flux_error
    if settings.shift_bands and (ratio != 1).any():
        flux, error = interpolate_bands(
            observations.time, flux, error, observations.band, observations.mask, wavelength, ratio
        )
    moved = ((scale != 1) | (ratio != 1))[:, None]
    scaled_error = scale[:, None] * error
    new_error = np.where(moved, np.maximum(observations.flux_error, scaled_error), observations.flux_error)
    added = np.sqrt(np.maximum(new_error**2 - scaled_error**2, 0.0)) * draws.noise[0]
    new_flux = np.where(moved, scale[:, None] * flux + added, observations.flux)
    detected = _detected(new_flux, new_error, observations.mask)
    seen = detected.any(1) | ~moved[:, 0]
    lost = moved & seen[:, None] & ~detected & settings.detections_only
    time = np.where(seen[:, None], observations.time * ratio[:, None], observations.time)
    return replace(
        observations,
        time=time.astype(observations.time.dtype),
        flux=np.where(seen[:, None], new_flux, observations.flux).astype(observations.flux.dtype),
        flux_error=np.where(seen[:, None], new_error, observations.flux_error).astype(observations.flux_error.dtype),
        redshift=np.where(seen, redshift, observations.redshift),
        mask=observations.mask & ~lost,
        redshift_error=np.where(seen, observations.redshift_error * ratio, observations.redshift_error),
    )


def _new_redshift(
    observations: Observations, settings: AugmentSettings, draws: _Draws
) -> tuple[Float64[np.ndarray, " b"], Float64[np.ndarray, " b"], Float64[np.ndarray, " b"]]:
    """z' = z exp(`redshift_scatter` N), (1+z')/(1+z), and the flux ratio; z' = z where the ratio leaves its range."""
    redshift = observations.redshift.astype(np.float64)
    known = redshift > _MIN_REDSHIFT
    safe = np.where(known, redshift, 1.0)
    proposed = safe * np.exp(settings.redshift_scatter * draws.normal[:, 0])
    ratio = (1.0 + proposed) / (1.0 + safe)
    low, high = settings.redshift_range
    moves = known & (draws.uniform[:, 3] < settings.redshift) & (ratio >= low) & (ratio <= high)
    if not moves.any():
        return redshift, np.ones(len(redshift)), np.ones(len(redshift))
    distances = 2.0 * (log_luminosity_distance(safe) - log_luminosity_distance(proposed))
    ratio, scale = np.where(moves, ratio, 1.0), np.where(moves, ratio * np.exp(distances), 1.0)
    return np.where(moves, proposed, redshift), ratio, scale


def _dimming(observations: Observations, settings: AugmentSettings, draws: _Draws) -> Float64[np.ndarray, " b"]:
    """For a share `depth` of objects a factor between 1 and 5 / (peak signal-to-noise), uniform in its logarithm."""
    ratio = np.where(observations.mask, np.abs(observations.flux) / observations.flux_error, 0.0)
    room = np.log(np.maximum(ratio.max(1, initial=0.0) / DETECTION_SNR, 1.0))
    return np.where(draws.uniform[:, 4] < settings.depth, np.exp(-room * draws.uniform[:, 5]), 1.0)


def _add_noise(observations: Observations, settings: AugmentSettings, draws: _Draws) -> Observations:
    """F + s e N and e sqrt(1 + s^2), with s = U `noise` one number an object."""
    if settings.noise == 0:
        return observations
    amount = draws.uniform[:, 6:7] * settings.noise
    error = observations.flux_error
    flux = observations.flux + amount * error * draws.noise[1]
    return replace(
        observations,
        flux=flux.astype(observations.flux.dtype),
        flux_error=(error * np.sqrt(1.0 + amount**2)).astype(error.dtype),
    )


def _redraw_photo_z(observations: Observations, settings: AugmentSettings, draws: _Draws) -> Float[np.ndarray, " b"]:
    """z + `photo_z` (error of z) N, at least 0.01; Galactic (0) and unknown redshifts stay."""
    redshift = observations.redshift
    if settings.photo_z == 0:
        return redshift
    drawn = redshift + settings.photo_z * np.nan_to_num(observations.redshift_error) * draws.normal[:, 1]
    return np.where(redshift > _MIN_REDSHIFT, np.maximum(drawn, 0.01), redshift)


def _compact(observations: Observations) -> Observations:
    """Move kept observations to the left, in order, and cut the padding to the longest."""
    mask = observations.mask
    order = np.argsort(~mask, axis=1, kind="stable")[:, : int(mask.sum(1).max(initial=0))]
    names = ("time", "flux", "flux_error", "band", "mask")
    return replace(observations, **{n: np.take_along_axis(getattr(observations, n), order, 1) for n in names})


def _from_first_detection(observations: Observations) -> Observations:
    """Times since the first |flux| >= 5 errors; where there is none, since the highest signal-to-noise."""
    if not observations.mask.size:
        return observations
    ratio = np.where(observations.mask, np.abs(observations.flux) / observations.flux_error, 0.0)
    seen = _detected(observations.flux, observations.flux_error, observations.mask)
    first = np.where(seen.any(1), seen.argmax(1), ratio.argmax(1))
    start = np.take_along_axis(observations.time, first[:, None], 1)
    return replace(observations, time=np.where(observations.mask, observations.time - start, 0).astype(start.dtype))


def _detected(
    flux: Float[np.ndarray, "b l"], error: Float[np.ndarray, "b l"], mask: Bool[np.ndarray, "b l"]
) -> Bool[np.ndarray, "b l"]:
    return mask & (np.abs(flux) >= DETECTION_SNR * error)
