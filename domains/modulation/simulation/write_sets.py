"""Files in the layouts of the published sets, filled with frames of our generator."""

import gzip
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float32

from armillary.core.domain import Size
from armillary.core.random import item_seeds
from armillary.domains.modulation.simulation.rml2016 import RML2016, RML2016A, RML2016B
from armillary.domains.modulation.simulation.rml2018 import RML2018

Keys = Mapping[tuple[str, int], Float32[np.ndarray, "n 2 l"]]
SNR_LABELS = tuple(range(-20, 20, 2))
_PER_KEY = 48  # frames of a class and SNR label in the simulated default
_TWIN_SNR, _TWIN_PER_KEY = (-10, 18), 5


def write_rml2016a(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """The simulated default, or its twin, as a pickle in gzip."""
    whole = size == "default"
    return _write_pickle(
        folder / "RML2016.10a_simulated_dict.pkl.gz", RML2016A("historical"), seed,
        SNR_LABELS if whole else _TWIN_SNR, _PER_KEY if whole else _TWIN_PER_KEY, spoil=not whole,
    )  # fmt: skip


def write_regen_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """A few frames in the layout of the set made with GNU Radio."""
    path = folder / "RML2016.10a_regen80_dict.pkl.gz"
    return _write_pickle(path, RML2016A("historical"), seed, _TWIN_SNR, _TWIN_PER_KEY, spoil=True)


def write_rml2016a_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """A few frames in the layout of RML2016.10a."""
    path = folder / "RML2016.10a_dict.pkl"
    return _write_pickle(path, RML2016A("historical"), seed, _TWIN_SNR, _TWIN_PER_KEY, spoil=True)


def write_rml2016b_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """A few frames in the layout of RML2016.10b."""
    path = folder / "RML2016.10b.dat"
    return _write_pickle(path, RML2016B("historical"), seed, _TWIN_SNR, _TWIN_PER_KEY, spoil=True)


def write_rml2018_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """One frame of most classes in the layout of RML2018.01a; the last is not finite."""
    number = 20
    index = np.arange(number, dtype=np.int64)
    made = RML2018("calibrated")(index, np.full(number, 10, np.float32), item_seeds(index, seed, "rml2018"))
    made[-1, 0, 0] = np.nan
    with h5py.File(folder / "GOLD_XYZ_OSC.0001_1024.hdf5", "w") as file:
        file.create_dataset("X", data=made.transpose(0, 2, 1), chunks=(4, 1024, 2))
        file.create_dataset("Y", data=np.eye(len(RML2018.classes), dtype=np.int64)[index])
        file.create_dataset("Z", data=np.full((number, 1), 10, np.int64))
    return number, f"{number - 1:07d}"


def write_hisarmod_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """A few rows of BPSK and QPSK in the layout of HisarMod2019.1; the last is not finite."""
    codes = {"BPSK": 0, "QPSK": 10}
    for part, number in (("Train", 6), ("Test", 3)):
        index = np.arange(number, dtype=np.int64)
        place = np.array([RML2018.classes.index(name) for name in codes], np.int64)[index % 2]
        made = RML2018("calibrated")(place, np.full(number, 10, np.float32), item_seeds(index, seed, "hisarmod", part))
        made[-1, 0, 0] = np.nan
        _write_tables(folder / part, part.lower(), made, [list(codes.values())[k % 2] for k in index])
    return 9, None


def _write_tables(folder: Path, part: str, frames: Float32[np.ndarray, "n 2 l"], codes: Sequence[int]) -> None:
    folder.mkdir()
    rows = [",".join(f"{i * 1e3:.2f}{q * 1e3:+.2f}i" for i, q in frame.T) for frame in frames]
    (folder / f"{part}_data.csv").write_text("\n".join(rows) + "\n")
    (folder / f"{part}_labels.csv").write_text("".join(f"{code}\n" for code in codes))
    (folder / f"{part}_snr.csv").write_text("10\n" * len(codes))


def _write_pickle(
    path: Path, make: RML2016, seed: int, snr_labels: Sequence[int], per_key: int, spoil: bool
) -> tuple[int, str | None]:
    """A dictionary of (modulation, SNR label) to frames; spoil: the last frame of the last key is not finite."""
    frames: dict[tuple[str, int], Any] = {}
    for number, name in enumerate(make.classes):
        for snr in snr_labels:
            index = np.arange(per_key, dtype=np.int64)
            seeds = item_seeds(index, seed, "file", name, snr)
            frames[name, snr] = make(np.full(per_key, number), np.full(per_key, snr, np.float32), seeds)
    broken = None
    if spoil:
        name, snr = sorted(frames)[-1]
        frames[name, snr][-1, 0, 0] = np.nan
        broken = f"{name}/{snr}/{per_key - 1:04d}"
    data = pickle.dumps(frames, protocol=2)
    # The same seed gives the same bytes: no time in the header.
    path.write_bytes(gzip.compress(data, compresslevel=1, mtime=0) if path.suffix == ".gz" else data)
    return per_key * len(frames), broken
