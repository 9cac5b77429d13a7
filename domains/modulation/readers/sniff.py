"""What kind of file lies at a path, judged by its name and its first bytes."""

from enum import Enum
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.compressed import open_plain
from armillary.domains.modulation.readers.hisarmod import is_data_table
from armillary.domains.modulation.readers.raw_iq import SUFFIXES as RAW_SUFFIXES
from armillary.domains.modulation.readers.riff import read_wave_header


class Kind(Enum):
    """The kinds of files that `read` knows."""

    RML_PICKLE = "RML2016 pickle"
    RML_HDF5 = "RML2018 HDF5"
    HISARMOD = "HisarMod2019.1 CSV"
    SIGMF = "SigMF recording"
    SIGMF_ARCHIVE = "SigMF archive"
    RAW = "raw I/Q"
    IQ_WAV = "I/Q WAV"
    AUDIO_WAV = "mono WAV of a receiver"
    NPY = "NumPy array"


_PICKLES = (".pkl", ".pickle", ".dat")
_COMPRESSED = (".gz", ".bz2", ".xz")
_BY_SUFFIX = {
    ".sigmf-meta": Kind.SIGMF, ".sigmf-data": Kind.SIGMF, ".sigmf": Kind.SIGMF_ARCHIVE, ".npy": Kind.NPY,
    ".hdf5": Kind.RML_HDF5, ".h5": Kind.RML_HDF5,
    **dict.fromkeys(_PICKLES, Kind.RML_PICKLE), **dict.fromkeys(RAW_SUFFIXES, Kind.RAW),
}  # fmt: skip
_BY_HEAD = ((b"\x89HDF\r\n\x1a\n", Kind.RML_HDF5), (b"\x93NUMPY", Kind.NPY))
# Pickles of protocol 2 and later, and text pickles of a dict.
_PICKLE_HEADS = (b"\x80", b"(d", b"}")
KNOWN = ", ".join(sorted({*_BY_SUFFIX, ".wav", "*_data.csv of HisarMod", *(f".pkl{end}" for end in _COMPRESSED)}))


def is_data(path: Path) -> bool:
    """Whether a file that lies in a folder looks like one of the field; of a SigMF pair the metadata stand for both."""
    name = path.name.lower()
    if not path.is_file() or name.startswith("."):
        return False
    if name.endswith(".sigmf-data"):
        return not path.with_name(path.name[: -len("-data")] + "-meta").is_file()
    return _suffix(name) in {*_BY_SUFFIX, ".wav"} or is_data_table(path)


def sniff(path: Path, raw: bool = False) -> Kind:
    """The kind of a file; `raw` takes what no other kind claims as raw samples.

    Raises:
        DataError: an empty file, one that cannot be read, or one of no known kind.
    """
    with open_plain(path) as stream:
        head = stream.read(16)
    name = path.name.lower()
    if name.endswith(".sigmf-collection"):
        raise DataError("is a SigMF collection", path=path, advice="Give the recordings that it names.")
    by_suffix = _BY_SUFFIX.get(_suffix(name))
    if not head and by_suffix is not Kind.RAW:
        raise DataError("is empty", path=path, advice="Fetch it again.")
    kind = _by_head(path, head) or by_suffix
    if is_data_table(path):
        kind = Kind.HISARMOD
    if kind is None and raw:
        kind = Kind.RAW
    if kind is None:
        raise DataError(
            f"is of no known kind (known: {KNOWN})",
            path=path,
            advice="Check the file. For raw samples under another suffix say --set predict.dtype=...",
        )
    return kind


def _suffix(name: str) -> str:
    """The last suffix, below a compression."""
    for end in _COMPRESSED:
        name = name.removesuffix(end)
    return Path(name).suffix


def _by_head(path: Path, head: bytes) -> Kind | None:
    """What the first bytes alone tell. Raw samples may begin with any bytes, so that their suffix comes first."""
    if _suffix(path.name.lower()) in RAW_SUFFIXES:
        return Kind.RAW
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return Kind.AUDIO_WAV if read_wave_header(path).num_channels == 1 else Kind.IQ_WAV
    kind = next((kind for start, kind in _BY_HEAD if head.startswith(start)), None)
    if kind is None and head.startswith(_PICKLE_HEADS) and _suffix(path.name.lower()) in _PICKLES:
        return Kind.RML_PICKLE
    return kind
