"""Voices of a file on their way to disk: kept beside their place until their peak is known, then encoded."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float32

PEAK = 0.99  # highest sample of voices that had to be lowered
SUFFIXES = (".wav", ".flac")
_BLOCK = 1 << 18  # samples of all voices at once
_WAV_BYTES = (1 << 32) - (1 << 16)  # a WAV file counts its bytes in 32 bits
_HEADER_BYTES = 1 << 12  # a header is shorter than that


@dataclass(frozen=True)
class Style:
    """How voices are written, from the attributes of a prediction: `level` and `format` of the predict settings."""

    peak: bool = False
    suffix: str = ".wav"

    @classmethod
    def of(cls, attrs: Mapping[Any, Any]) -> "Style":
        """The style of a prediction; without attributes samples stay as they are, in WAV files."""
        return cls(attrs.get("level", "mixture") == "peak", f".{attrs.get('format', 'wav')}")


class Spool:
    """Samples of one file's voices in a temporary file; memory does not grow with them."""

    def __init__(self, path: Path) -> None:
        self._path, self._stream = path, path.open("wb")
        self.voices = self._count = 0
        self._peak = 0.0

    def append(self, samples: Float32[np.ndarray, "k n"]) -> None:
        """Adds the next samples of all voices."""
        self.voices = len(samples)
        self._count += samples.shape[1]
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))
        self._stream.write(np.ascontiguousarray(samples.T, "<f4").tobytes())

    def close(self) -> None:
        """Ends writing; may be called again."""
        self._stream.close()

    def encode(self, targets: Sequence[Path], rate_hz: int, peak: bool) -> None:
        """Writes one file with a channel for each voice, or one file a voice; the spool is used up.

        WAV files have 32-bit floats: nothing is rounded or clipped. FLAC files have 24-bit integers, which end at full
        scale: there, and everywhere with `peak`, all voices of the file are lowered by one factor so that no sample is
        beyond 0.99. A file that is too long for WAV becomes RF64, its extension to 64 bits. The same voices give the
        same bytes.
        """
        self.close()
        lower = peak or targets[0].suffix.lower() == ".flac"
        gain = np.float32(PEAK / self._peak if lower and self._peak > PEAK else 1.0)
        channels = 1 if len(targets) > 1 else self.voices
        with ExitStack() as stack:
            files = [stack.enter_context(self._open(target, rate_hz, channels)) for target in targets]
            spooled = stack.enter_context(self._path.open("rb"))
            while block := spooled.read(4 * self.voices * max(1, _BLOCK // self.voices)):
                samples = np.frombuffer(block, "<f4").reshape(-1, self.voices) * gain
                for file, part in zip(files, np.split(samples, len(files), axis=1), strict=True):
                    file.write(part)
        for target in targets:
            _forget_time(target)
        self._path.unlink()

    def _open(self, target: Path, rate_hz: int, channels: int) -> soundfile.SoundFile:
        if target.suffix.lower() == ".flac":
            kind, subtype = "FLAC", "PCM_24"
        else:
            kind, subtype = ("WAV" if 4 * self._count * channels < _WAV_BYTES else "RF64"), "FLOAT"
        return soundfile.SoundFile(target, "w", rate_hz, channels, subtype, format=kind)


def _forget_time(path: Path) -> None:
    """libsndfile writes the time into WAV files of floats, in the chunk that tells their peaks."""
    with path.open("r+b") as stream:
        head = stream.read(_HEADER_BYTES)
        place = head.find(b"PEAK", 0, max(head.find(b"data"), 0))
        if head.startswith(b"RIFF") and place >= 0:
            # Behind the chunk's name, its size and its version, 4 bytes each.
            stream.seek(place + 12)
            stream.write(bytes(4))
