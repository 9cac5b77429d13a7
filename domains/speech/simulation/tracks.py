"""How formants, levels and pitch move from sound to sound, one value a frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from armillary.domains.speech.simulation.sounds import Sound, Spoken
from armillary.domains.speech.simulation.speakers import FORMANTS, REFERENCE_CM, Speaker

FRAME_S = 0.005
_SOUND_CM_S = 35_000.0
# Widths of the smoothing windows [frames]: tongue and jaw are slow, closures and bursts are not, pitch is slowest.
_FORMANT_FRAMES, _LEVEL_FRAMES, _PITCH_FRAMES = 17, 5, 41
_DECLINE = 4.0  # how far pitch falls over a phrase [semitones]
_WIDTHS_HZ = np.array([100.0, 100.0, 130.0, 180.0, 250.0, 320.0, 400.0, 480.0])


@dataclass(frozen=True)
class Tracks:
    """n frames of speech. Levels are amplitudes; noise_band is (centre, width) of noise that has a band of its own."""

    formants_hz: Float64[np.ndarray, "n 8"]
    widths_hz: Float64[np.ndarray, "n 8"]
    pitch_hz: Float64[np.ndarray, " n"]
    voice: Float64[np.ndarray, " n"]
    breath: Float64[np.ndarray, " n"]
    noise: Float64[np.ndarray, " n"]
    noise_band_hz: Float64[np.ndarray, "n 2"]


def follow(speaker: Speaker, spoken: Sequence[Spoken], rng: np.random.Generator) -> Tracks:
    """Targets of the sounds, held as long as each lasts, then smoothed, so that each colours its neighbours."""
    ends = np.round(np.cumsum([one.seconds for one in spoken]) / FRAME_S).astype(np.int64)
    lasts = np.diff(ends, prepend=0)
    held = np.repeat(np.array([_targets(one.sound) for one in spoken], np.float64), lasts, axis=0)
    lowest = np.stack([_smooth(formant, _FORMANT_FRAMES) for formant in held[:, :3].T], 1)
    voice, noise = (10 ** (held[:, column] / 20) for column in (3, 4))
    voice = _smooth(voice, _LEVEL_FRAMES)
    through_tract = held[:, 5] == 0
    formants_hz = _formants(speaker, lowest)
    return Tracks(
        formants_hz,
        np.broadcast_to(_WIDTHS_HZ * speaker.bandwidth, formants_hz.shape) + 0.02 * formants_hz,
        _pitch(speaker, spoken, lasts, rng),
        voice,
        _smooth(noise * through_tract, _LEVEL_FRAMES) + speaker.breath * voice,
        _smooth(noise * ~through_tract, 3),
        held[:, 5:],
    )


def _targets(sound: Sound) -> tuple[float, ...]:
    return (*sound.formants_hz, sound.voice_db, sound.noise_db, sound.noise_hz, sound.noise_width_hz)


def _formants(speaker: Speaker, lowest: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 8"]:
    """The sounds' three formants and those of an even tube above, for the speaker's length of tract."""
    tube_hz = (2 * np.arange(4, FORMANTS + 1) - 1) * _SOUND_CM_S / (4 * REFERENCE_CM)
    upper = np.broadcast_to(tube_hz, (len(lowest), len(tube_hz)))
    return np.concatenate((lowest, upper), 1) * (REFERENCE_CM / speaker.tract_cm) * speaker.formant_scale


def _pitch(
    speaker: Speaker, spoken: Sequence[Spoken], lasts: np.ndarray, rng: np.random.Generator
) -> Float64[np.ndarray, " n"]:
    """Middle pitch, falling over each phrase, with accents of syllables and a slow drift."""
    frames = int(lasts.sum())
    accent = np.repeat(np.array([one.accent for one in spoken]), lasts)
    phrase = np.repeat(np.array([one.phrase for one in spoken]), lasts)
    starts = np.searchsorted(phrase, phrase, side="left")
    stops = np.searchsorted(phrase, phrase, side="right")
    along = (np.arange(frames) - starts) / np.maximum(stops - starts, 1)
    drift = _smooth(rng.normal(0, 1, frames), _PITCH_FRAMES)
    semitones = speaker.pitch_range * _smooth(accent, _PITCH_FRAMES) + _DECLINE * (0.4 - along) + drift
    return speaker.pitch_hz * 2 ** (semitones / 12)


def _smooth(values: Float64[np.ndarray, " n"], frames: int) -> Float64[np.ndarray, " n"]:
    window = np.hanning(frames + 2)[1:-1]
    padded = np.pad(values, frames // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")
