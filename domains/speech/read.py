"""Read recordings of any format as windows, in chunks of bounded size."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.speech.readers.audio import stream_audio
from armillary.domains.speech.readers.search import KEPT, find_audio, named_like_voices
from armillary.domains.speech.readers.windows import Window, slide
from armillary.domains.speech.settings import SpeechPredict

# Samples in a chunk, padding included: predictions are several times as large. 8.7 minutes at 8 kHz.
CHUNK_SAMPLES = 1 << 22
# Samples of a file that is separated whole: more than 9 hours at 8 kHz.
WHOLE_SAMPLES = 1 << 28


def read(paths: Sequence[Path], options: ReadOptions) -> Iterator[xr.Dataset]:
    """Chunks of windows of every file, folder and list of files, resampled to `settings.sample_rate_hz`, one channel.

    Windows of a file follow each other, round(window (1 - overlap)) samples apart and the last one maybe nearer; a
    file may go on in the next chunk. A chunk has at most `options.chunk_items` windows and about 4 million samples (or
    one window, if that is longer). A file that cannot be used goes to `options.report`, as does a damaged one, of which
    the rest is used. Names of recordings that a voice could replace are in the attribute `kept`.
    """
    settings: SpeechPredict = options.settings or SpeechPredict()
    length, hop = window_and_hop(settings)
    files = list(find_audio(paths, options.report))
    kept = named_like_voices(files)
    attrs = {"sample_rate_hz": settings.sample_rate_hz, "window": length, "hop": hop} | ({KEPT: kept} if kept else {})
    pending: list[tuple[str, Window]] = []
    longest = 0
    for file, window in _windows(files, settings, options):
        longest = max(longest, len(window.samples))
        if pending and (len(pending) == options.chunk_items or (len(pending) + 1) * longest > CHUNK_SAMPLES):
            yield _chunk(pending, attrs)
            pending, longest = [], len(window.samples)
        pending.append((file, window))
    if pending:
        yield _chunk(pending, attrs)


def window_and_hop(settings: SpeechPredict) -> tuple[int, int]:
    """Samples of a window and between windows at the settings' rate; 0 and 0 where files are read whole."""
    if settings.window_s is None:
        return 0, 0
    length = max(round(settings.window_s * settings.sample_rate_hz), 1)
    return length, max(round(length * (1 - settings.overlap)), 1)


def _windows(files: Sequence[Path], settings: SpeechPredict, options: ReadOptions) -> Iterator[tuple[str, Window]]:
    """(file, window) of all files; those that cannot be used are reported."""
    length, hop = window_and_hop(settings)
    for path in files:
        try:
            blocks = stream_audio(path, settings.sample_rate_hz, settings.channel, options.report)
            for window in slide(blocks, length, hop) if length else [_whole(path, blocks)]:
                yield str(path), window
        except DataError as error:
            options.report(error)


def _whole(path: Path, blocks: Iterator[np.ndarray]) -> Window:
    """All of a file as one window.

    Raises:
        DataError: it is too long for that.
    """
    parts: list[np.ndarray] = []
    count = 0
    for block in blocks:
        parts.append(block)
        count += len(block)
        if count > WHOLE_SAMPLES:
            raise DataError(
                f"is longer than {WHOLE_SAMPLES} samples, too long to be separated whole",
                path=path,
                advice="Separate it in windows: --set predict.window_s=8.",
            )
    return Window(0, np.concatenate(parts), True)


def _chunk(pending: Sequence[tuple[str, Window]], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Windows as one Dataset, padded with zeros to the longest of them."""
    windows = [window for _, window in pending]
    lengths = np.array([len(window.samples) for window in windows], np.int64)
    mixture = np.zeros((len(windows), int(lengths.max())), np.float32)
    for row, window in zip(mixture, windows, strict=True):
        row[: len(window.samples)] = window.samples
    in_samples = {"units": "sample"}
    return xr.Dataset(
        {
            "mixture": (("item", "sample"), mixture, {"units": "1", "long_name": "recording, full scale 1"}),
            "length": ("item", lengths, in_samples),
            "start": ("item", np.array([window.start for window in windows], np.int64), in_samples),
            "file": ("item", np.array([file for file, _ in pending], np.str_)),
            "last": ("item", np.array([window.last for window in windows], np.bool_)),
        },
        {"item": np.array([f"{file}:{window.start}" for file, window in pending], np.str_)},
        dict(attrs),
    )
