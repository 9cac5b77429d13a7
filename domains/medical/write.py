"""Predictions as files: a table (CSV), a folder of masks and pictures, or everything labelled (NetCDF)."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import xarray as xr

from armillary.core.errors import DataError
from armillary.core.files import advised, atomic_write
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.writers import stream_csv, stream_folder

__all__ = ["STREAMS", "stream_csv", "stream_folder", "write"]

# What can be written as predictions come, by suffix; a name without one is a folder.
STREAMS: Mapping[str, Callable[[Path], AbstractContextManager[Callable[[xr.Dataset], None]]]] = {
    "": stream_folder,
    ".csv": stream_csv,
}


def write(prediction: xr.Dataset, path: Path) -> None:
    """Write the prediction as the path's suffix says: .csv, .nc, or none for a folder. Each says NOTICE.

    Every file appears whole or not at all.

    Raises:
        DataError: an unknown suffix, or a disk that does not take the file.
    """
    suffix = path.suffix.lower()
    if suffix == ".nc":
        with advised(path), atomic_write(path) as temporary:
            _check_room(prediction, path)
            prediction.assign_attrs(notice=NOTICE).to_netcdf(temporary, engine="h5netcdf")
        return
    if suffix not in STREAMS:
        raise DataError(
            f"cannot write predictions as '{path.suffix}'; expected .csv, .nc, or no suffix for a folder",
            path=path,
            advice="Give the output a name that ends in one of these.",
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
            advice="Make room or choose another place; a folder of masks (a name without suffix) needs less.",
        )
