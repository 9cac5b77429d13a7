"""Tables of separated files and of scores, and everything in NetCDF."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

from armillary.core.errors import DataError
from armillary.domains.speech.duration import seconds
from armillary.domains.speech.write import STREAMS, write

Predict = Callable[..., Iterator[xr.Dataset]]


def tones() -> np.ndarray:
    """Two tones of 2 s at 8 kHz, the second in its first half alone and 20 dB fainter; the third a copy."""
    time = np.arange(16_000) / 8000
    first = np.sin(2 * np.pi * 440 * time)
    second = 0.1 * np.sqrt(2) * np.sin(2 * np.pi * 330 * time) * (time < 1)
    return np.stack([first, second, 0.2 * first]).astype(np.float32)


def test_a_table_has_a_row_for_each_file_and_voice(tmp_path: Path, predict: Predict):
    path = tmp_path / "voices.csv"
    with STREAMS[".csv"](path) as append:
        for name, made in (("a.wav", tones()), ("b,c.wav", 0 * tones()[:, :1])):
            for chunk in predict(name, made):
                append(chunk)
    table = pd.read_csv(path)
    columns = ["file", "voice", "seconds", "level_db", "active", "peak", "present", "voices"]
    assert list(table.columns) == columns
    assert table["file"].tolist() == ["a.wav"] * 3 + ["b,c.wav"] * 3
    assert table["voice"].tolist() == [1, 2, 3] * 2
    assert table["seconds"].tolist() == [2.0] * 3 + [0.000125] * 3
    # The tones are orthogonal over whole seconds: the mixture has 1.2^2 and 0.1^2 of the first one's power.
    level = 10 * np.log10(np.array([1, 0.01, 0.04]) / (1.44 + 0.01))
    np.testing.assert_allclose(table["level_db"], [*level, -120, -120, -120], atol=1e-3)
    np.testing.assert_allclose(table["active"], [1, 0.5, 1, 0, 0, 0], atol=0.011)
    np.testing.assert_allclose(table["peak"], [1, 0.1 * np.sqrt(2), 0.2, 0, 0, 0], atol=1e-3)
    assert table["present"].tolist() == [True, True, False, False, False, False]
    assert table["voices"].tolist() == [2] * 3 + [0] * 3


def test_chunks_of_any_size_give_the_same_table(tmp_path: Path, predict: Predict):
    made = np.random.default_rng(0).standard_normal((2, 7777)).astype(np.float32)
    found: list[str] = []
    for size in (1, 3, 100):
        path = tmp_path / f"{size}.csv"
        with STREAMS[".csv"](path) as append:
            for chunk in predict("a.wav", made, chunk=size):
                append(chunk)
        found.append(path.read_text())
    assert found[0] == found[1] == found[2]


def test_scores_are_a_table_of_items_and_voices(tmp_path: Path):
    records = xr.Dataset(
        {
            "si_sdr": (("item", "source"), np.array([[1.5, 2.5], [3.5, -np.inf]], np.float32)),
            "sex": (("item", "source"), np.array([["F", "M"], ["F", ""]])),
            "seconds": ("item", np.array([2.0, 3.0], np.float32)),
        },
        {"item": ["x", "y"], "source": [1, 2]},
    )
    write(records, tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    assert table["item"].tolist() == ["x", "x", "y", "y"]
    assert table["voice"].tolist() == [1, 2, 1, 2]
    assert table["si_sdr"].tolist() == [1.5, 2.5, 3.5, -np.inf]
    assert table["sex"].tolist() == ["F", "M", "F", ""]
    assert table["seconds"].tolist() == [2, 2, 3, 3]


def test_netcdf_holds_the_windows_and_how_many_voices_there_are(tmp_path: Path, predict: Predict):
    chunks = [*predict("a.wav", tones()), *predict("b.wav", tones())]
    prediction = xr.concat(chunks, "item")
    write(prediction, tmp_path / "all.nc")
    with xr.open_dataset(tmp_path / "all.nc") as again:
        for name in prediction.data_vars:
            assert_array_equal(again[name].values, prediction[name].values)
        assert list(again.attrs["files"]) == ["a.wav", "b.wav"]
        assert list(again.attrs["voices_found"]) == [2, 2]


def test_a_disk_without_room_for_netcdf_is_told_before_it_is_full(
    tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
):
    about = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: about)
    with pytest.raises(DataError, match=r"all\.nc: needs \d+ MB, and 0 MB are free there"):
        write(xr.concat(list(predict("a.wav", tones())), "item"), tmp_path / "all.nc")
    assert list(tmp_path.iterdir()) == []


def test_records_of_known_voices_go_to_netcdf_as_they_are(tmp_path: Path):
    records = xr.Dataset({"si_sdr": (("item", "source"), np.zeros((1, 2), np.float32))}, {"item": ["x"]})
    write(records, tmp_path / "all.nc")
    with xr.open_dataset(tmp_path / "all.nc") as again:
        xr.testing.assert_equal(again.load(), records)


@pytest.mark.parametrize("length", [1, 1000, 1001, 1750, 5003])
def test_seconds_count_every_sample_once(predict: Predict, length: int):
    files = [predict(name, np.zeros((2, length), np.float32)) for name in ("a.wav", "b.wav")]
    assert sum(seconds(chunk) for chunks in files for chunk in chunks) == pytest.approx(2 * length / 8000)
