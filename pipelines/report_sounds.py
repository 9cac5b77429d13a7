"""Sounds of the report: embedded as WAV data, which every browser plays without a plugin."""

import base64
import io
import wave
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from armillary.core.domain import Sound

MOST_SECONDS = 10.0  # of a clip; a report is read more often than it is listened to, and has to be sent around
_FADE_SECONDS = 0.01  # at the end of what was cut, against a click


@dataclass(frozen=True)
class ReportSound:
    """One player: a WAV file, what it is, and how long, in words."""

    label: str
    wav: bytes
    duration: str


@dataclass(frozen=True)
class SoundGroup:
    """Players that are to be compared with each other, under one heading."""

    title: str
    sounds: tuple[ReportSound, ...]


def report_sounds(sounds: Mapping[str, Sound]) -> tuple[SoundGroup, ...]:
    """The sounds in their order, those of one group together; each cut to its first `MOST_SECONDS`.

    A sound without a label is called by its name.
    """
    groups: dict[str, list[ReportSound]] = {}
    for name, sound in sounds.items():
        wav = wav_bytes(_clip(sound), sound.sample_rate_hz)
        player = ReportSound(sound.label or name.replace("_", " "), wav, _duration(sound))
        groups.setdefault(sound.group, []).append(player)
    return tuple(SoundGroup(title, tuple(players)) for title, players in groups.items())


def wav_bytes(samples: Float[np.ndarray, " n"], sample_rate_hz: int) -> bytes:
    """A WAV file of one channel in 16-bit integers. Values beyond full scale 1.0 are cut off; NaN is silence."""
    whole = np.clip(np.nan_to_num(samples, nan=0.0), -1.0, 1.0)
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(np.round(32767 * whole).astype("<i2").tobytes())
    return stream.getvalue()


def sound_address(wav: bytes) -> str:
    """The WAV file as a data: address."""
    return f"data:audio/wav;base64,{base64.b64encode(wav).decode('ascii')}"


def _duration(sound: Sound) -> str:
    seconds = len(sound.samples) / sound.sample_rate_hz
    return f"{seconds:.1f} s" if seconds <= MOST_SECONDS else f"first {MOST_SECONDS:.0f} of {seconds:.1f} s"


def _clip(sound: Sound) -> Float[np.ndarray, " n"]:
    most = round(MOST_SECONDS * sound.sample_rate_hz)
    samples = np.asarray(sound.samples)
    if samples.ndim != 1:
        raise ValueError(f"the sound '{sound.label}' has shape {samples.shape}; expected one axis, one channel")
    if len(samples) <= most:
        return samples
    fade = np.ones(most)
    tail = min(most, round(_FADE_SECONDS * sound.sample_rate_hz))
    fade[most - tail :] = np.linspace(1.0, 0.0, tail)
    return samples[:most] * fade
