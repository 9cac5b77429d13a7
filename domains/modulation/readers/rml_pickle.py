"""RML2016.10a and 10b: a pickled dict {(modulation, SNR): frames (n, 2, l)}, plain, gzip, bzip2 or xz."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.readers.compressed import open_plain
from armillary.domains.modulation.readers.pickle_arrays import PickleRefusedError, load_dict
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.unusable import usable

# The file tells no rate; this is the one that the channel model of the published recipe is set to.
NOMINAL_RATE_HZ = 200e3
_LABEL_LETTERS = 100
_LAYOUT = "expected a dict {(modulation, SNR): array (n, 2, l)} as RML2016.10a and 10b are"


def read_rml_pickle(path: Path, report: Report) -> Iterator[Frames]:
    """Frames of each key, sorted by modulation and SNR; ids are 'QPSK/18/0042', each frame its own group.

    The original Python 2 pickles and those of Python 3 are read alike, NumPy arrays only. Keys of another form, frames
    of another length than the first key's, and frames of zeros or with NaN are reported and left out.

    Raises:
        DataError: the file is damaged, names anything but arrays, or has no usable key.
    """
    arrays = _arrays(path, report)
    length = next(iter(arrays.values())).shape[2]
    for label, snr in sorted(arrays):
        # Taken out, so that a set need not lie in memory twice.
        array = arrays.pop((label, snr))
        if array.shape[2] != length:
            report(_key_error(path, (label, snr), f"frames of {array.shape[2]} samples, the others have {length}"))
            continue
        yield from _frames(path, label, snr, _float32(array), report)


def _frames(path: Path, label: str, snr: float, iq: Float32[np.ndarray, "n 2 l"], report: Report) -> Iterator[Frames]:
    good = np.flatnonzero(usable(iq, path, lambda index: _name(label, snr, index), report))
    if len(good) == 0:
        return
    ids = np.array([_name(label, snr, index) for index in good.tolist()], np.str_)
    yield Frames(
        iq if len(good) == len(iq) else iq[good],
        np.full(len(good), label),
        np.full(len(good), snr, np.float32),
        ids,
        ids,
        np.zeros(len(good), np.int64),
        sources=(str(path),),
    )


def _name(label: str, snr: float, index: int) -> str:
    return f"{label}/{snr:g}/{index:04d}"


def _float32(array: np.ndarray) -> Float32[np.ndarray, "n 2 l"]:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is then reported
        return np.ascontiguousarray(array, np.float32)


def _arrays(path: Path, report: Report) -> dict[tuple[str, float], np.ndarray]:
    """Arrays of the right form by (modulation, SNR)."""
    try:
        with open_plain(path) as stream:
            content = load_dict(stream)
    except PickleRefusedError as error:
        raise DataError(str(error), path=path, advice=f"Nothing of it is used; {_LAYOUT}.") from error
    found: dict[tuple[str, float], np.ndarray] = {}
    for key, value in content.items():
        known = _key(key)
        if known is None:
            report(_key_error(path, key, "a key that is no (modulation, SNR)"))
        elif known in found:
            report(_key_error(path, key, "a key that is there twice"))
        elif not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
            report(_key_error(path, key, "a value that is no array of real numbers"))
        elif value.ndim != 3 or value.shape[1] != 2 or value.shape[2] == 0:
            report(_key_error(path, key, f"an array of shape {value.shape}"))
        else:
            found[known] = value
    if not found:
        raise DataError("holds no frames", path=path, advice=f"{_LAYOUT[0].upper()}{_LAYOUT[1:]}.")
    return found


def _key_error(path: Path, key: object, problem: str) -> DataError:
    return DataError(problem, path=path, item=str(key)[:60], advice=f"It is left out; {_LAYOUT}.")


def _key(key: object) -> tuple[str, float] | None:
    """(modulation, SNR [dB]) of a key; Python 2 wrote the modulation as bytes."""
    if not isinstance(key, tuple) or len(key) != 2:
        return None
    label, snr = key
    if isinstance(label, bytes):
        label = label.decode("ascii", "replace")
    if not isinstance(label, str) or not label.isprintable() or not 0 < len(label) <= _LABEL_LETTERS:
        return None
    return (label, float(snr)) if type(snr) in (int, float) and abs(snr) < 1000 else None
