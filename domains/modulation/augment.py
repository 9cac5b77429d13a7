"""Changed copies of training frames that keep their label: turned, mirrored, reversed, shifted, noisier.

Each change draws from its own stream of the frame's seed, so a frame comes out the same alone and in any batch, and
switching one change on does not move another's draws. Which changes are fair, z(t) being the frame:

- rotate, z exp(i phi): no receiver knows the carrier's phase, so every class looks the same at any.
- conjugate, z*(t), mirrors the spectrum. Constellations here are mirror images of themselves, and bits and messages
  are as likely with either sign, so linear modulations, frequency shift keying, double-sideband AM and FM keep their
  class; one sideband becomes the other, so those classes are left alone.
- reverse, z*(-t). Plain z(-t) would mirror the spectrum and with it the sideband; the conjugate turns it back, so this
  one is fair for every class. Symbols and bits are independent and pulses symmetric, so a reversed burst is a burst of
  the same law; what it does turn round is the channel, whose echoes come first.
- shift, cyclic: the label stays, but the carrier's phase and the symbol clock jump where the ends meet, which no
  receiver sees. It teaches an artefact for the sake of indifference to the start, and is worth a measurement first.
- noise: white and complex, as a weaker signal would have it. The class stays while it can still be told, and the SNR
  that the data set states no longer holds.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt64

from armillary.core.random import item_normal, item_uniform
from armillary.domains.modulation.settings import AugmentSettings


def changes(settings: AugmentSettings) -> bool:
    """Whether any change is asked for; without one `augment` gives back what it got."""
    return settings.rotate or settings.shift or settings.conjugate or settings.reverse or settings.noise > 0


def augment(
    iq: Float32[np.ndarray, "n 2 l"],
    conjugable: Bool[np.ndarray, " n"],
    seeds: UInt64[np.ndarray, " n"],
    settings: AugmentSettings,
) -> Float32[np.ndarray, "n 2 l"]:
    """Changed copies of frames, each a function of its own seed: reverse, shift, conjugate, rotate, then noise.

    conjugable: frames whose class survives a mirrored spectrum. Frames of zeros stay zeros, NaN stays NaN. The input
    is not written to.
    """
    if not len(iq) or not changes(settings):
        return iq
    if settings.reverse or settings.shift:
        iq = _reorder(iq, seeds, settings)
    mirrored = settings.conjugate & conjugable & (_uniform(seeds, "conjugate") < 0.5)
    angle = 2 * np.pi * _uniform(seeds, "rotate") * settings.rotate
    iq = _turn(iq, mirrored, angle)
    return _add_noise(iq, seeds, settings) if settings.noise > 0 else iq


def _reorder(
    iq: Float32[np.ndarray, "n 2 l"], seeds: UInt64[np.ndarray, " n"], settings: AugmentSettings
) -> Float32[np.ndarray, "n 2 l"]:
    """z*(-t) of every second frame, then sample (t - d) mod l of each, d even over the frame."""
    length = iq.shape[2]
    delay = np.floor(_uniform(seeds, "shift") * length).astype(np.int64) * settings.shift
    place = (np.arange(length) - delay[:, None]) % length
    backwards = settings.reverse & (_uniform(seeds, "reverse") < 0.5)
    place = np.where(backwards[:, None], length - 1 - place, place)
    moved = np.take_along_axis(iq, place[:, None, :], 2)
    moved[backwards, 1] *= -1
    return moved


def _turn(
    iq: Float32[np.ndarray, "n 2 l"], mirrored: Bool[np.ndarray, " n"], angle: Float[np.ndarray, " n"]
) -> Float32[np.ndarray, "n 2 l"]:
    """z exp(i angle), with z* in place of z where `mirrored`."""
    cosine, sine = np.cos(angle).astype(np.float32)[:, None], np.sin(angle).astype(np.float32)[:, None]
    sign = np.where(mirrored, -1, 1).astype(np.float32)[:, None]
    turned = np.empty_like(iq)
    turned[:, 0] = cosine * iq[:, 0] - (sine * sign) * iq[:, 1]
    turned[:, 1] = sine * iq[:, 0] + (cosine * sign) * iq[:, 1]
    return turned


def _add_noise(
    iq: Float32[np.ndarray, "n 2 l"], seeds: UInt64[np.ndarray, " n"], settings: AugmentSettings
) -> Float32[np.ndarray, "n 2 l"]:
    """z + w with mean |w|^2 = mean |z|^2 / 10^(x / 10), x even over `noise_db`, on a share `noise` of frames."""
    chosen: Int64[np.ndarray, " m"] = np.flatnonzero(_uniform(seeds, "noise") < settings.noise)
    signal, own = iq[chosen], seeds[chosen]
    low, high = settings.noise_db
    ratio_db = low + (high - low) * _uniform(own, "noise_db")
    rails = np.square(signal, dtype=np.float64).reshape(len(signal), 2 * iq.shape[2]).mean(1)  # half of mean |z|^2
    scale = np.sqrt(rails * 10 ** (-ratio_db / 10))
    drawn = item_normal(own, "noise_samples", 2 * iq.shape[2]).reshape(signal.shape)
    noisy = iq.copy()
    noisy[chosen] += (scale[:, None, None] * drawn).astype(np.float32)
    return noisy


def _uniform(seeds: UInt64[np.ndarray, " n"], stream: str) -> Float[np.ndarray, " n"]:
    return item_uniform(seeds, f"augment/{stream}", 1)[:, 0]
