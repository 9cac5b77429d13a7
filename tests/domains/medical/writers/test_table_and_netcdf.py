"""Predictions as tables and as NetCDF."""

import errno

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from armillary.core.errors import DataError
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.write import STREAMS, write


def labels(count: int = 3) -> xr.Dataset:
    probability = np.linspace(0.1, 0.9, 2 * count, dtype=np.float32).reshape(count, 2)
    return xr.Dataset(
        {
            "probability": (("item", "label"), probability),
            "uncertainty": (("item", "label"), probability / 10),
            "threshold": ("label", np.array([0.5, 0.2], np.float32)),
            "file": ("item", [f"/films/{k}.png" for k in range(count)]),
        },
        {"item": [f"{k}.png" for k in range(count)], "label": ["Effusion", "Pleural_Thickening"]},
    )


def masks(shape: tuple[int, ...] = (4, 6), spacing: tuple[float, ...] = (0.5, 2.0)) -> xr.Dataset:
    probability = np.zeros((1, 2, *shape), np.float32)
    probability[0, 0, ..., :3] = 0.9
    space = ("plane", "row", "column")[-len(shape) :]
    return xr.Dataset(
        {
            "probability": (("item", "structure", *space), probability),
            "spacing_mm": (("item", "axis"), np.array([spacing], np.float32)),
        },
        {"item": ["a.png"], "structure": ["lung", "heart"]},
    )


def test_a_row_tells_probability_threshold_presence_and_that_it_is_no_diagnosis(tmp_path):
    write(labels(), tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table) == [
        "file", "probability_Effusion", "probability_Pleural_Thickening", "threshold_Effusion",
        "threshold_Pleural_Thickening", "present_Effusion", "present_Pleural_Thickening", "uncertainty_Effusion",
        "uncertainty_Pleural_Thickening", "notice",
    ]  # fmt: skip
    assert list(table.file) == ["/films/0.png", "/films/1.png", "/films/2.png"]
    assert list(table.present_Effusion) == [0, 0, 1]
    assert list(table.present_Pleural_Thickening) == [1, 1, 1]
    assert set(table.notice) == {NOTICE}


def test_without_thresholds_a_half_counts():
    prediction = labels().drop_vars("threshold")
    from armillary.domains.medical.writers import table

    assert list(table(prediction)["threshold_Effusion"]) == [0.5, 0.5, 0.5]


def test_of_classes_the_likeliest_is_named(tmp_path):
    write(labels().rename(label="class"), tmp_path / "out.csv")
    assert list(pd.read_csv(tmp_path / "out.csv").predicted) == ["Pleural_Thickening"] * 3


def test_masks_have_their_share_and_area(tmp_path):
    write(masks(), tmp_path / "out.csv")
    row = pd.read_csv(tmp_path / "out.csv").iloc[0]
    assert (row.share_lung, row.share_heart) == (0.5, 0.0)
    assert row.area_mm2_lung == 12.0


def test_volumes_have_millilitres_and_unknown_spacing_none(tmp_path):
    write(masks((10, 4, 6), (10.0, 5.0, 5.0)), tmp_path / "known.csv")
    assert pd.read_csv(tmp_path / "known.csv").volume_ml_lung[0] == pytest.approx(10 * 4 * 3 * 0.25)
    write(masks((10, 4, 6), (np.nan, 5.0, 5.0)), tmp_path / "unknown.csv")
    assert np.isnan(pd.read_csv(tmp_path / "unknown.csv").volume_ml_lung[0])


def test_what_was_filled_up_for_a_larger_image_is_not_counted(tmp_path):
    prediction = masks()
    padded = prediction.pad(row=(0, 3), column=(0, 2))
    write(padded, tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv").share_lung[0] == 0.5


def test_chunks_make_one_table(tmp_path):
    with STREAMS[".csv"](tmp_path / "out.csv") as append:
        for place in range(3):
            append(labels().isel(item=[place]))
    write(labels(), tmp_path / "whole.csv")
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_scores_of_known_masks_and_errors_of_pretraining_are_columns(tmp_path):
    scores = xr.Dataset(
        {"dice": (("item", "structure"), [[0.9, np.nan]]), "group": ("item", ["p1"])},
        {"item": ["a"], "structure": ["lung", "heart"]},
    )
    write(scores, tmp_path / "scores.csv")
    assert list(pd.read_csv(tmp_path / "scores.csv")) == ["file", "dice_lung", "dice_heart", "notice"]
    errors = xr.Dataset({"masked_error": ("item", [0.1]), "mean_error": ("item", [0.2])}, {"item": ["a"]})
    write(errors, tmp_path / "errors.csv")
    assert list(pd.read_csv(tmp_path / "errors.csv")) == ["file", "masked_error", "mean_error", "notice"]


def test_netcdf_comes_back_as_it_was_with_the_notice(tmp_path):
    write(labels(), tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc") as again:
        assert again.attrs["notice"] == NOTICE
        xr.testing.assert_equal(again, labels())


def test_an_unknown_suffix_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(DataError, match=r"cannot write predictions as '.xlsx'; expected .csv, .nc"):
        write(labels(), tmp_path / "out.xlsx")


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "out.csv").write_text("before")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(DataError, match="No space left"):
        write(labels(), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
