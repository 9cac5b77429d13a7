"""Predictions as files: a table of probabilities (CSV), or everything labelled (NetCDF, Zarr)."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from armillary.core.errors import DataError
from armillary.core.files import atomic_write


def write(prediction: xr.Dataset, path: Path) -> None:
    """Write the prediction in the format that the path's suffix names: .csv, .nc or .zarr.

    The file appears whole or not at all; after an error what lay there before is still there.

    Raises:
        DataError: an unknown suffix, or a disk that does not take the file.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise DataError(
            f"cannot write predictions as '{path.suffix}'; expected one of {', '.join(WRITERS)}",
            path=path,
            advice="Give the output a name that ends in one of these.",
        )
    try:
        with atomic_write(path) as temporary:
            writer(prediction, temporary)
    except OSError as error:
        raise DataError(
            f"the prediction could not be written: {error.strerror or error}",
            path=path,
            advice="Nothing half-written is left. Make room or choose another place, then run it again.",
        ) from error


def probability_table(prediction: xr.Dataset) -> pd.DataFrame:
    """One row an object: object_id, p_<class> for each class, predicted, truth (empty where unknown)."""
    names = np.array([str(name) for name in prediction["class"].values], dtype=object)
    probability = prediction["probability"].transpose("item", "class").values
    truth = prediction["truth"].values
    columns: dict[str, np.ndarray] = {"object_id": prediction["item"].values.astype(np.str_)}
    columns |= {f"p_{name}": probability[:, place] for place, name in enumerate(names)}
    columns["predicted"] = names[probability.argmax(1)]
    columns["truth"] = np.where(truth >= 0, names[truth], "")
    return pd.DataFrame(columns)


def _write_csv(prediction: xr.Dataset, path: Path) -> None:
    probability_table(prediction).to_csv(path, index=False)


def _write_netcdf(prediction: xr.Dataset, path: Path) -> None:
    prediction.to_netcdf(path, engine="h5netcdf")


def _write_zarr(prediction: xr.Dataset, path: Path) -> None:
    # Format 3 has no agreed form of text yet; readers of either format read 2.
    prediction.to_zarr(path, mode="w", zarr_format=2, consolidated=True)


WRITERS: Mapping[str, Callable[[xr.Dataset, Path], None]] = {
    ".csv": _write_csv,
    ".nc": _write_netcdf,
    ".zarr": _write_zarr,
}
