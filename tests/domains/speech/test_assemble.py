"""Outputs of batches become records in the order of the items."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from armillary.domains.speech.assemble import assemble
from armillary.domains.speech.items import WindowItems
from armillary.domains.speech.settings import SpeechRun


def scores_of(places: list[int]) -> dict[str, np.ndarray]:
    """Outputs of a batch whose values tell the item and the voice."""
    value = np.array([[10.0 * place, 10.0 * place + 1] for place in places], np.float32)
    named = {name: value + step for step, name in enumerate(("si_sdr", "si_sdr_mixture", "stoi", "level_db"))}
    return {**named, "index": np.array(places)}


def test_scores_stand_in_the_order_of_the_items_with_who_speaks(
    known_mixtures: Callable[..., object], speech_run: Callable[..., SpeechRun]
) -> None:
    items = known_mixtures(4, 2)
    found = assemble(speech_run(), items, [scores_of([2, 0]), scores_of([3]), scores_of([1])])
    np.testing.assert_array_equal(found["si_sdr"], [[0, 1], [10, 11], [20, 21], [30, 31]])
    np.testing.assert_array_equal(found["level_db"], found["si_sdr"] + 3)
    assert found["si_sdr"].dims == ("item", "source")
    assert found["item"].values.tolist() == ["m0", "m1", "m2", "m3"]
    assert found["group"].values.tolist() == ["g0", "g0", "g1", "g1"]
    np.testing.assert_array_equal(found["speaker"], items.known["speakers"])
    np.testing.assert_array_equal(found["sex"], items.known["sexes"])
    np.testing.assert_allclose(found["seconds"], items.lengths / 8000, rtol=1e-6)
    assert found.attrs == {"recipe": "speech/test", "sample_rate_hz": 8000, "voices": 2}
    units = {name: found[name].attrs["units"] for name in ("si_sdr", "si_sdr_mixture", "stoi", "level_db", "seconds")}
    assert units == {"si_sdr": "dB", "si_sdr_mixture": "dB", "stoi": "1", "level_db": "dB", "seconds": "s"}


def test_records_come_back_from_a_file(
    known_mixtures: Callable[..., object], speech_run: Callable[..., SpeechRun], tmp_path: Path
) -> None:
    found = assemble(speech_run(), known_mixtures(2, 2), [scores_of([0, 1])])
    found.to_netcdf(tmp_path / "records.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "records.nc") as again:
        for name in found.data_vars:
            np.testing.assert_array_equal(again[name].values, found[name].values, err_msg=str(name))


def test_no_items_make_empty_records(
    known_mixtures: Callable[..., object], speech_run: Callable[..., SpeechRun]
) -> None:
    found = assemble(speech_run(), known_mixtures(0, 2), [])
    assert dict(found.sizes) == {"item": 0, "source": 2}


def test_estimates_of_known_mixtures_come_with_their_lengths(
    known_mixtures: Callable[..., object], speech_run: Callable[..., SpeechRun]
) -> None:
    items = known_mixtures(3, 2)
    longest = int(items.lengths.max())
    outputs = [
        {"estimate": np.full((2, 2, int(items.lengths[1])), 7.0, np.float32), "index": np.array([1, 0])},
        {"estimate": np.full((1, 2, longest), 9.0, np.float32), "index": np.array([2])},
    ]
    found = assemble(speech_run(), items, outputs)
    assert found["estimate"].dims == ("item", "source", "sample")
    assert found["length"].values.tolist() == items.lengths.tolist()
    assert found["estimate"].values[:, 0, 0].tolist() == [7.0, 7.0, 9.0]
    assert (found["estimate"].values[:2, :, int(items.lengths[1]) :] == 0).all()


def test_windows_of_files_keep_what_they_came_with(speech_run: Callable[..., SpeechRun]) -> None:
    length = np.array([50, 30, 50], np.int64)
    chunk = xr.Dataset(
        {
            "mixture": (("item", "sample"), np.ones((3, 50), np.float32)),
            "length": ("item", length),
            "start": ("item", np.array([0, 40, 0], np.int64)),
            "file": ("item", np.array(["a.wav", "a.wav", "b.wav"])),
            "last": ("item", np.array([False, True, True])),
        },
        {"item": np.array(["a.wav:0", "a.wav:40", "b.wav:0"])},
        {"sample_rate_hz": 8000, "window": 50, "hop": 40},
    )
    outputs = [
        {"estimate": np.full((2, 2, 50), 3.0, np.float32), "index": np.array([2, 0])},
        {"estimate": np.full((1, 2, 30), 5.0, np.float32), "index": np.array([1])},
    ]
    found = assemble(speech_run(), WindowItems(chunk, 2), outputs)
    for name in chunk.variables:
        xr.testing.assert_identical(found[name].variable, chunk[name].variable)
    assert found["estimate"].values[:, 1, 29].tolist() == [3.0, 5.0, 3.0]
    assert found["estimate"].values[:, 1, 30].tolist() == [3.0, 0.0, 3.0]
    assert (found.attrs["window"], found.attrs["hop"], found.attrs["voices"]) == (50, 40, 2)
