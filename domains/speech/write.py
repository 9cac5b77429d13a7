"""Predictions as files: a folder of voices, one sound file, a table (CSV), or everything labelled (NetCDF)."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import xarray as xr

from armillary.core.errors import DataError
from armillary.core.files import atomic_write
from armillary.domains.speech.readers.search import KEPT
from armillary.domains.speech.writers import stream_csv, stream_folder, stream_single, voices_found
from armillary.domains.speech.writers.told import told

# What can be written as predictions come, by suffix; a name without one is a folder.
STREAMS: Mapping[str, Callable[[Path], AbstractContextManager[Callable[[xr.Dataset], None]]]] = {
    "": stream_folder,
    ".wav": stream_single,
    ".flac": stream_single,
    ".csv": stream_csv,
}


def write(prediction: xr.Dataset, path: Path) -> None:
    """Write the prediction as the path's suffix says: none (a folder of voices), .wav, .flac, .csv or .nc.

    Every file appears whole or not at all. Voices have the prediction's sample rate, which need not be that of the
    files that were separated. A NetCDF file holds the windows as they are and, in attributes, how many voices each
    file has (`files`, `voices_found`).

    Raises:
        DataError: an unknown suffix, several files for one sound file, scores where sound was asked for, or a disk
            that does not take the file.
    """
    suffix = path.suffix.lower()
    if suffix == ".nc":
        with told(path), atomic_write(path) as temporary:
            _check_room(prediction, path)
            _counted(prediction).to_netcdf(temporary, engine="h5netcdf")
        return
    if suffix not in STREAMS:
        raise DataError(
            f"cannot write predictions as '{path.suffix}'; expected .wav, .flac, .csv, .nc, or no suffix for a folder",
            path=path,
            advice="Give the output a name that ends in one of these.",
        )
    if suffix != ".csv" and "estimate" not in prediction:
        raise DataError(
            "holds scores of known voices, no sound to write",
            path=path,
            advice="Write scores to .csv or .nc. For sounds, predict files, or set predict.scores to none.",
        )
    with STREAMS[suffix](path) as append:
        append(prediction)


def _check_room(prediction: xr.Dataset, path: Path) -> None:
    """Refuses what does not fit before it is begun: HDF5 ends the whole program when a disk gets full under it."""
    free = shutil.disk_usage(path.parent).free
    if prediction.nbytes > free:
        raise DataError(
            f"needs {prediction.nbytes / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free there",
            path=path,
            advice="Make room or choose another place; a folder of voices (a name without suffix) needs less.",
        )


def _counted(prediction: xr.Dataset) -> xr.Dataset:
    """With the voices that each file has, and without what only a folder of voices asks for."""
    prediction = prediction.copy(deep=False)
    prediction.attrs.pop(KEPT, None)
    if "estimate" not in prediction or "file" not in prediction:
        return prediction
    found = voices_found(prediction)
    return prediction.assign_attrs(files=list(found), voices_found=list(found.values()))
