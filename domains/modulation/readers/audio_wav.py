"""Mono WAV files of receivers as captures of their analytic signal."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Complex64

from armillary.domains.modulation.readers.capture import Capture
from armillary.domains.modulation.readers.receiver_audio import audio_blocks, stream_analytic
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.riff import check_wave, read_wave_header
from armillary.domains.modulation.readers.samples import join_rails
from armillary.domains.modulation.settings import ModulationPredict


def open_audio_wav(path: Path, settings: ModulationPredict, report: Report) -> Iterator[Capture]:
    """The analytic signal of a mono WAV file, at its rate; a header that lies about the length is reported."""
    header = read_wave_header(path)
    check_wave(path, header, report)
    yield Capture(str(path), lambda: _blocks(path), header.sample_rate_hz)


def _blocks(path: Path) -> Iterator[Complex64[np.ndarray, " s"]]:
    return (join_rails(part) for part in stream_analytic(audio_blocks(path, str(path))))
