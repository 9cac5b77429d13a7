"""Parts of audio files at a wanted rate, as training asks for them: again and again, in any order."""

from collections import OrderedDict
from math import gcd
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from armillary.domains.speech.readers.audio import Block, Channel, native_blocks, open_audio, stream_audio
from armillary.domains.speech.readers.report import Report, warn
from armillary.domains.speech.readers.resample import resampled, resampled_length

# A file of up to so many samples at the wanted rate is read whole, and kept for a while: 4 minutes at 8 kHz.
WHOLE_SAMPLES = 1 << 21
KEPT_BYTES = 256 << 20
# Samples at the lower rate that a part is resampled with on both sides; soxr's filter is shorter.
_MARGIN = 2048


class KeptSignals:
    """The signals asked for last, as many as fit into `bound_bytes`."""

    def __init__(self, bound_bytes: int) -> None:
        self._bound, self._bytes = bound_bytes, 0
        self._signals: OrderedDict[tuple[object, ...], Block] = OrderedDict()

    def get(self, key: tuple[object, ...]) -> Block | None:
        """The signal of a key, or None."""
        signal = self._signals.get(key)
        if signal is not None:
            self._signals.move_to_end(key)
        return signal

    def put(self, key: tuple[object, ...], signal: Block) -> None:
        """Keeps a signal, and forgets those that were not asked for longest."""
        signal.flags.writeable = False
        self._signals[key] = signal
        self._bytes += signal.nbytes
        while self._bytes > self._bound:
            _, old = self._signals.popitem(last=False)
            self._bytes -= old.nbytes


# Of this process alone: a worker starts with an empty one.
_KEPT = KeptSignals(KEPT_BYTES)


def load(
    path: Path, rate_hz: int, start: int = 0, stop: int | None = None, channel: Channel = 0, report: Report = warn
) -> Float32[np.ndarray, " t"]:
    """Samples from `start` to `stop` (None: the end) of one channel at `rate_hz` [Hz]; fewer where the file ends.

    What comes back must not be written to. Whether a part is cut from the whole signal or resampled by itself
    follows from the length of the file alone, so that it is the same to the bit whatever was asked for before.

    Raises:
        DataError: as `stream_audio`.
    """
    about = path.stat() if path.is_file() else None
    key = (str(path), rate_hz, channel, about and about.st_mtime_ns, about and about.st_size)
    kept = _KEPT.get(key)
    if kept is not None:
        return kept[start:stop]
    with open_audio(path) as file:
        long = file.frames > 0 and resampled_length(file.frames, file.samplerate, rate_hz) > WHOLE_SAMPLES
    if long:
        return _part(path, rate_hz, start, stop, channel, report)
    signal = np.concatenate(list(stream_audio(path, rate_hz, channel, report)))
    _KEPT.put(key, signal)
    return signal[start:stop]


def _part(
    path: Path, rate_hz: int, start: int, stop: int | None, channel: Channel, report: Report
) -> Float32[np.ndarray, " t"]:
    """The part by itself, with a margin on both sides, from a sample that both rates have in common."""
    with open_audio(path) as file:
        from_hz = file.samplerate
        common = gcd(from_hz, rate_hz)
        margin = _MARGIN * max(1, -(-rate_hz // from_hz))
        tick = max(start - margin, 0) // (rate_hz // common)
        first, begin = tick * (from_hz // common), tick * (rate_hz // common)
        end = None if stop is None else resampled_length(stop + margin, rate_hz, from_hz)
        if first >= file.frames or (stop is not None and stop <= start):
            return np.zeros(0, np.float32)
        blocks = native_blocks(path, file, channel, report, first, end)
        signal = np.concatenate(list(resampled(blocks, from_hz, rate_hz)))
    return signal[start - begin : None if stop is None else stop - begin]
