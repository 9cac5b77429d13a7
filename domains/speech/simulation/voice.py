"""A simulated voice: pulses and noise through a tract that moves from sound to sound."""

import numpy as np
from jaxtyping import Float32, Float64

from armillary.core.random import derive_rng
from armillary.domains.speech.simulation.sounds import draw_speech
from armillary.domains.speech.simulation.source import pulses
from armillary.domains.speech.simulation.speakers import Speaker
from armillary.domains.speech.simulation.tracks import follow
from armillary.domains.speech.simulation.tract import filter_noise, filter_voice, frame_samples

_LEVEL = 0.06  # root mean square of what comes out
_FLOOR = 0.003  # of a recording's own noise, relative to the voice


def speak(speaker: Speaker, seconds: float, sample_rate_hz: int, seed: int) -> Float32[np.ndarray, " t"]:
    """`seconds` of speech without meaning, a function of the arguments; at 8 kHz some hundred times as fast as said.

    Syllables, pauses, pitch and formants are those of speech in kind, not those of a language. The root mean square
    is 0.06, less where the peak would pass 0.9.
    """
    rng = derive_rng(seed, "utterance", speaker.name)
    length = round(seconds * sample_rate_hz)
    if length == 0:
        return np.zeros(0, np.float32)
    hop = frame_samples(sample_rate_hz)
    tracks = follow(speaker, draw_speech(speaker, seconds, rng), rng)
    samples = len(tracks.pitch_hz) * hop
    source = pulses(
        _held(tracks.pitch_hz, hop), _held(tracks.voice, hop), speaker.jitter, speaker.shimmer, sample_rate_hz, rng
    )
    white = rng.standard_normal((2, samples))
    voice = filter_voice(source, white[0] * _held(tracks.breath, hop), tracks, speaker.tilt_hz, sample_rate_hz)
    voice = voice + filter_noise(white[1] * _held(tracks.noise, hop), tracks, sample_rate_hz)
    floor = _FLOOR * float(voice.std()) * rng.standard_normal(samples)
    return _levelled((voice + floor)[:length])


def _held(track: Float64[np.ndarray, " n"], hop: int) -> Float64[np.ndarray, " t"]:
    """One value a sample, straight lines between the middles of frames."""
    return np.interp((np.arange(len(track) * hop) + 0.5) / hop - 0.5, np.arange(len(track)), track)


def _levelled(voice: Float64[np.ndarray, " t"]) -> Float32[np.ndarray, " t"]:
    scale = _LEVEL / float(np.sqrt(np.mean(np.square(voice))))
    peak = float(np.abs(voice).max(initial=0.0)) * scale
    return (voice * (scale * min(1.0, 0.9 / max(peak, 0.9)))).astype(np.float32)
