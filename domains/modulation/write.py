"""Predictions as files: a table (CSV), SigMF annotations, or everything labelled (NetCDF, Zarr)."""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import xarray as xr

from armillary.core.errors import DataError
from armillary.core.files import advised, atomic_write
from armillary.domains.modulation.annotate import Annotator

Append = Callable[[xr.Dataset], None]
UNKNOWN = "unknown"


def write(prediction: xr.Dataset, path: Path) -> None:
    """Write the prediction in the format that the path's suffix names: .csv, .sigmf-meta, .nc or .zarr.

    The file appears whole or not at all; after an error what lay there before is still there.

    Raises:
        DataError: an unknown suffix, several recordings for one SigMF file, or a disk that does not take the file.
    """
    suffix = path.suffix.lower()
    if suffix in STREAMS:
        with STREAMS[suffix](path) as append:
            append(prediction)
        return
    writer = _WRITERS.get(suffix)
    if writer is None:
        raise DataError(
            f"cannot write predictions as '{path.suffix}'; expected one of {', '.join([*STREAMS, *_WRITERS])}",
            path=path,
            advice="Give the output a name that ends in one of these.",
        )
    with advised(path), atomic_write(path) as temporary:
        writer(prediction, temporary)


@contextmanager
def _text(path: Path) -> Generator[TextIO, None, None]:
    """A text file that appears at `path` when the block ends well."""
    with ExitStack() as stack:
        with advised(path):
            temporary = stack.enter_context(atomic_write(path))
            stream = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
        yield stream
        with advised(path):
            stack.close()


def verdicts(prediction: xr.Dataset) -> np.ndarray:
    """What is said of each item: its likeliest class; 'unknown' where it is less typical of the known classes than
    attrs['reject'] asks for; "" where no signal was detected.
    """
    names = prediction["class"].values.astype(np.str_)
    said = names[prediction["probability"].transpose("item", "class").values.argmax(1)].astype(object)
    if "reject" in prediction.attrs and "typicality" in prediction:
        said[prediction["typicality"].values < prediction.attrs["reject"]] = UNKNOWN
    if "detected" in prediction:
        said[~prediction["detected"].values.astype(np.bool_)] = ""
    return said


def table(prediction: xr.Dataset) -> pd.DataFrame:
    """One row an item: item, source, start_sample, start_s [s], p_<class> for each class, predicted, truth, snr_db
    [dB], detected; empty where unknown.
    """
    names = prediction["class"].values.astype(np.str_)
    probability = prediction["probability"].transpose("item", "class").values
    truth = prediction["truth"].values
    empty = np.full(len(truth), "", object)
    start = prediction["start"].values if "start" in prediction else empty
    rate = float(prediction.attrs.get("sample_rate_hz", np.nan))
    columns: dict[str, np.ndarray] = {
        "item": prediction["item"].values.astype(np.str_),
        "source": prediction["source"].values.astype(np.str_) if "source" in prediction else empty,
        "start_sample": start,
        "start_s": start / rate if "start" in prediction else empty,
    }
    columns |= {f"p_{name}": probability[:, place] for place, name in enumerate(names)}
    columns["predicted"] = verdicts(prediction)
    columns["truth"] = np.where(truth >= 0, names[truth], "")
    columns["snr_db"] = prediction["snr_db"].values if "snr_db" in prediction else empty
    columns["detected"] = prediction["detected"].values if "detected" in prediction else empty
    return pd.DataFrame(columns)


@contextmanager
def stream_csv(path: Path) -> Generator[Append, None, None]:
    """Takes predictions chunk by chunk into one table; the file appears when the block ends well."""
    with _text(path) as stream:

        def append(prediction: xr.Dataset) -> None:
            with advised(path):
                table(prediction).to_csv(stream, index=False, header=stream.tell() == 0, lineterminator="\n")

        yield append


@contextmanager
def stream_sigmf(path: Path) -> Generator[Append, None, None]:
    """Takes predictions of one recording chunk by chunk into SigMF annotations, as `stream_csv` does.

    The block raises DataError for windows of a second recording, or for windows that go back in time.
    """
    with _text(path) as stream:
        annotator = Annotator(stream, path)

        def append(prediction: xr.Dataset) -> None:
            with advised(path):
                annotator.append(prediction, verdicts(prediction))

        yield append
        with advised(path):
            annotator.close()


def _write_netcdf(prediction: xr.Dataset, path: Path) -> None:
    prediction.to_netcdf(path, engine="h5netcdf")


def _write_zarr(prediction: xr.Dataset, path: Path) -> None:
    # Format 3 has no agreed form of text yet; readers of either format read 2.
    prediction.to_zarr(path, mode="w", zarr_format=2, consolidated=True)


STREAMS: Mapping[str, Callable[[Path], AbstractContextManager[Append]]] = {
    ".csv": stream_csv,
    ".sigmf-meta": stream_sigmf,
}
_WRITERS: Mapping[str, Callable[[xr.Dataset, Path], None]] = {".nc": _write_netcdf, ".zarr": _write_zarr}
