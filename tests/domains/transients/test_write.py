"""Written predictions: their content, and that they are whole or absent."""

import csv
import errno
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from armillary.core.errors import DataError
from armillary.domains.transients import DOMAIN
from armillary.domains.transients.write import WRITERS, write


@pytest.fixture
def prediction() -> xr.Dataset:
    probability = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32)
    return xr.Dataset(
        {
            "probability": (("item", "class"), probability),
            "truth": ("item", np.array([0, -1])),
            "group": ("item", ["SN1", "SN,2"]),
            "track_probability": (("observation", "class"), np.repeat(probability, 2, 0)),
            "track_row_size": ("item", np.array([2, 2])),
        },
        {"item": ["SN1", "SN,2"], "class": ["Ia", "II", "Ibc"]},
        {"recipe": "transients/raw-spcc"},
    )


def _entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_table_has_one_row_an_object_and_is_blank_where_truth_is_unknown(prediction, tmp_path):
    write(prediction, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["object_id", "p_Ia", "p_II", "p_Ibc", "predicted", "truth"]
    assert [row["object_id"] for row in rows] == ["SN1", "SN,2"]
    assert [row["predicted"] for row in rows] == ["Ia", "Ibc"]
    assert [row["truth"] for row in rows] == ["Ia", ""]
    # Single-precision numbers survive the text.
    assert np.float32(rows[0]["p_Ia"]) == np.float32(0.7)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_labelled_formats_bring_everything_back(suffix, prediction, tmp_path):
    path = tmp_path / f"out{suffix}"
    write(prediction, path)
    opened = xr.open_zarr(path) if suffix == ".zarr" else xr.open_dataset(path, engine="h5netcdf")
    with opened:
        found = opened.load()
    assert found.attrs == prediction.attrs
    for name in prediction.variables:
        np.testing.assert_array_equal(found[name].values, prediction[name].values)
    assert found["probability"].dtype == np.float32


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_a_second_writing_replaces_the_first(suffix, prediction, tmp_path):
    path = tmp_path / f"out{suffix}"
    write(prediction, path)
    write(prediction.isel(item=slice(0, 1)), path)
    assert _entries(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(suffix, prediction, tmp_path, monkeypatch):
    path = tmp_path / f"out{suffix}"
    write(prediction, path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def fill_the_disk(prediction: xr.Dataset, path: Path) -> None:
        path.write_bytes(b"object_id,p_")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(WRITERS, suffix, fill_the_disk)
    with pytest.raises(DataError, match=rf"out\{suffix}: the prediction could not be written: No space left on device"):
        write(prediction, path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_an_unknown_suffix_names_the_allowed_ones_and_writes_nothing(prediction, tmp_path):
    with pytest.raises(DataError, match=r"as '.txt'; expected one of .csv, .nc, .zarr"):
        write(prediction, tmp_path / "out.txt")
    assert _entries(tmp_path) == []


def test_the_domain_announces_what_it_can_write():
    assert DOMAIN.formats == tuple(WRITERS)


def test_no_items_are_an_empty_table_with_its_header(prediction, tmp_path):
    write(prediction.isel(item=slice(0, 0)), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().strip() == "object_id,p_Ia,p_II,p_Ibc,predicted,truth"
