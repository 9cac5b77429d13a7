"""Read sets of frames and recordings of any kind the domain knows, as chunks of labelled frames."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames, Indices, Unchecked
from armillary.domains.modulation.readers.capture import Capture, windows
from armillary.domains.modulation.readers.hisarmod import read_hisarmod
from armillary.domains.modulation.readers.iq_wav import open_iq_wav
from armillary.domains.modulation.readers.npy import open_npy
from armillary.domains.modulation.readers.raw_iq import open_raw
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.rml_pickle import NOMINAL_RATE_HZ, read_rml_pickle
from armillary.domains.modulation.readers.sigmf_files import open_sigmf, open_sigmf_archive
from armillary.domains.modulation.readers.sniff import KNOWN, Kind, is_data, sniff
from armillary.domains.modulation.readers.unusable import usable
from armillary.domains.modulation.settings import ModulationPredict

Open = Callable[[Path, ModulationPredict, Report], Iterator[Capture]]
ReadSet = Callable[[Path, Report], Iterator[Frames]]


def _open_audio(path: Path, settings: ModulationPredict, report: Report) -> Iterator[Capture]:
    # Here: the filter's library is slow to import, and most recordings do without it.
    from armillary.domains.modulation.readers.audio_wav import open_audio_wav

    yield from open_audio_wav(path, settings, report)


def _read_rml2018(path: Path, report: Report) -> Iterator[Frames]:
    # Here: h5py is slow to import, and recordings do without it.
    from armillary.domains.modulation.readers.rml2018 import load_rml2018

    yield load_rml2018(path, report)


# How the recordings of a kind of file are opened.
CAPTURES: Mapping[Kind, Open] = {
    Kind.SIGMF: open_sigmf,
    Kind.SIGMF_ARCHIVE: open_sigmf_archive,
    Kind.RAW: open_raw,
    Kind.IQ_WAV: open_iq_wav,
    Kind.AUDIO_WAV: _open_audio,
    Kind.NPY: open_npy,
}
# How the frames of a published set are read, and the rate that its recipe says where no file does [Hz].
SETS: Mapping[Kind, tuple[ReadSet, float]] = {
    Kind.RML_PICKLE: (read_rml_pickle, NOMINAL_RATE_HZ),
    Kind.RML_HDF5: (_read_rml2018, 1e6),
    Kind.HISARMOD: (read_hisarmod, math.nan),
}


def read(paths: Sequence[Path], options: ReadOptions) -> Iterator[xr.Dataset]:
    """Chunks of at most `options.chunk_items` frames from files and folders, in a stream.

    Recordings give windows of `settings.window` samples, `settings.hop` apart, each chunk of one recording; of sets
    the frames come as they are. A file or frame that cannot be used goes to `options.report`; the others go on. The
    sample rate is the file's own, else `settings.sample_rate_hz`, else that of the set's recipe, else NaN.

    The attribute `capture` of a chunk is 1 for windows of a recording and 0 for frames of a set.
    """
    settings: ModulationPredict = options.settings or ModulationPredict()
    for path, kind in _sniffed(paths, settings, options.report):
        try:
            if kind in SETS:
                yield from _frames(path, kind, settings, options)
            else:
                yield from _windows(path, kind, settings, options)
        except DataError as error:
            options.report(error)


def _sniffed(paths: Sequence[Path], settings: ModulationPredict, report: Report) -> Iterator[tuple[Path, Kind]]:
    """Each file that was given or lies in a folder that was given, with its kind; others are reported."""
    seen: set[Path] = set()
    for given in map(Path, paths):
        if not given.exists():
            report(DataError("does not exist", path=given, advice="Check the path."))
            continue
        files = sorted(filter(is_data, given.rglob("*"))) if given.is_dir() else [given]
        if not files:
            report(DataError("holds no data files", path=given, advice=f"Expected {KNOWN}."))
        for file in files:
            # Of a SigMF pair both files may be given.
            same = file.with_name(file.name.replace(".sigmf-data", ".sigmf-meta"))
            if same in seen:
                continue
            seen.add(same)
            try:
                yield file, sniff(file, raw=settings.dtype != "auto")
            except DataError as error:
                report(error)


def _windows(path: Path, kind: Kind, settings: ModulationPredict, options: ReadOptions) -> Iterator[xr.Dataset]:
    for capture in CAPTURES[kind](path, settings, options.report):
        try:
            for frames in windows(capture, settings, options.chunk_items, options.report):
                yield _dataset(frames, capture=True)
        except DataError as error:
            options.report(error)


def _frames(path: Path, kind: Kind, settings: ModulationPredict, options: ReadOptions) -> Iterator[xr.Dataset]:
    reader, nominal = SETS[kind]
    rate = settings.sample_rate_hz or nominal
    centre = math.nan if settings.centre_hz is None else settings.centre_hz
    for part in reader(path, options.report):
        for start in range(0, len(part), options.chunk_items):
            chosen = np.arange(start, min(start + options.chunk_items, len(part)), dtype=np.int64)
            frames = _sound(part, chosen, path, options.report)
            if len(frames):
                yield _dataset(replace(frames, sample_rate_hz=rate, centre_hz=centre), capture=False)


def _sound(part: Frames, chosen: Indices, path: Path, report: Report) -> Frames:
    """The frames at `chosen` that can be used; sets that lie on disk have not been looked through before."""
    iq = part.iq.unchecked(chosen) if isinstance(part.iq, Unchecked) else np.asarray(part.iq[chosen], np.float32)
    keep = usable(iq, path, lambda index: str(part.id[chosen[index]]), report)
    described = replace(part, iq=np.zeros((len(part), 2, 0), np.float32)).select(chosen[keep])
    return replace(described, iq=iq[keep])


def _dataset(frames: Frames, capture: bool) -> xr.Dataset:
    return frames.to_dataset().assign_attrs(capture=int(capture))
