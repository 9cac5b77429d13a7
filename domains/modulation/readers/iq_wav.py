"""Recordings of receiver programs: WAV files whose left channel is I and whose right channel is Q."""

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Complex64

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.capture import Capture
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.riff import WaveFile, check_wave, read_wave_header
from armillary.domains.modulation.readers.samples import BLOCK_SAMPLES
from armillary.domains.modulation.settings import ModulationPredict

_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
# HDSDR, SDR#, SDRuno and others: "..._145800000Hz_...", "..._7100kHz_RF.wav", "..._100.3MHz.wav".
_NAMED = re.compile(r"(?:^|[_ -])(\d+(?:\.\d+)?)([kmg]?)hz(?=$|[_ .-])", re.IGNORECASE)
_WRITTEN = re.compile(r'(?:RadioCenterFreq|CenterFreq|Frequency)(?:="|>)(\d+(?:\.\d+)?)')
_NAME_TOLERANCE_HZ = 1000.0  # names are rounded to kHz


def open_iq_wav(path: Path, settings: ModulationPredict, report: Report) -> Iterator[Capture]:
    """The samples of a stereo WAV file, with its rate and the centre frequency of its 'auxi' chunk or its name.

    A file that is shorter than its header says is reported with both lengths, and what is there is used.

    Raises:
        DataError: no stereo WAV file, or one whose name and 'auxi' chunk tell different centre frequencies.
    """
    header = read_wave_header(path)
    if header.num_channels != 2:
        raise DataError(
            f"has {header.num_channels} channels; expected two, I and Q",
            path=path,
            advice="Save the recording as stereo, I left and Q right.",
        )
    check_wave(path, header, report)
    yield Capture(str(path), lambda: _blocks(path), header.sample_rate_hz, _centre(path, header))


def _blocks(path: Path) -> Iterator[Complex64[np.ndarray, " s"]]:
    try:
        with soundfile.SoundFile(path) as stream:
            while len(pairs := stream.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                yield np.ascontiguousarray(pairs).view(np.complex64)[:, 0]
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(
            f"cannot be decoded: {str(error)[:200]}", path=path, advice="Save it as PCM or float WAV."
        ) from error


def _centre(path: Path, header: WaveFile) -> float:
    """Centre frequency [Hz] of the 'auxi' chunk, else of the file's name, else NaN."""
    chunk, name = auxi_centre(header.auxi), named_centre(path.stem)
    if abs(chunk - name) > _NAME_TOLERANCE_HZ:
        raise DataError(
            f"its 'auxi' chunk tells a centre frequency of {chunk:.12g} Hz, its name {name:.12g} Hz",
            path=path,
            advice="Rename the file after the frequency that is right, or without any.",
        )
    return name if math.isnan(chunk) else chunk


def auxi_centre(chunk: bytes) -> float:
    """Centre frequency [Hz] in an 'auxi' chunk: two times of 16 bytes and then a 32-bit number, or text in UTF-16.

    NaN without one; 0 means that the program did not know it.
    """
    text = chunk.decode("utf-16-le", "ignore")
    written = _WRITTEN.search(text)
    if written:
        return float(written[1])
    if len(chunk) < 36 or text.lstrip("\ufeff").startswith("<"):
        return math.nan
    return float(struct.unpack_from("<I", chunk, 32)[0]) or math.nan


def named_centre(stem: str) -> float:
    """Centre frequency [Hz] in a file's name, such as 'SDRSharp_20240101_120000Z_145800000Hz_IQ'; NaN without one."""
    found = _NAMED.search(stem)
    return float(found[1]) * _UNITS[found[2].lower()] if found else math.nan
