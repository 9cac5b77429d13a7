"""RML2018 and HisarMod, the cache, and the choice of a set by what lies in a folder."""

import multiprocessing
import os
import pickle
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.errors import DataError
from armillary.domains.modulation.classes import RML2018
from armillary.domains.modulation.frames import Frames, IQStore
from armillary.domains.modulation.readers.dataset import load_card
from armillary.domains.modulation.readers.hisarmod import CLASSES, read_hisarmod
from armillary.domains.modulation.readers.rml2018 import _runs, load_rml2018
from armillary.domains.modulation.readers.rml_pickle import read_rml_pickle
from armillary.domains.modulation.readers.store import stored


def everything(frames: Frames) -> np.ndarray:
    return np.asarray(frames.iq[np.arange(len(frames))])


def in_another_process(store: Any, indices: np.ndarray) -> np.ndarray:
    """What a spawned worker reads."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(store.__getitem__, (indices,))


def test_hdf5_frames_stay_on_disk_and_come_in_the_order_asked_for(make: Any, problems: Any):
    path = make.hdf5()
    frames = load_rml2018(path, problems.append)
    assert isinstance(frames.iq, IQStore)
    assert frames.iq.shape == (60, 2, 32)
    with h5py.File(path) as file:
        whole = file["X"][:].transpose(0, 2, 1)
    for indices in ([5], [59, 0, 0, 7, 8], [], [3, 2, 1]):
        chosen = np.array(indices, np.int64)
        np.testing.assert_array_equal(frames.iq[chosen], whole[chosen])
    assert frames.label[:24].tolist() == list(RML2018)
    assert frames.snr_db[:3].tolist() == [-20, -18, -16]
    assert frames.id[:2].tolist() == ["0000000", "0000001"]
    assert frames.select(np.array([4, 2])).label.tolist() == [RML2018[4], RML2018[2]]
    assert not problems


def test_hdf5_frames_are_read_by_spawned_workers_and_after_a_fork(make: Any, problems: Any):
    store: Any = load_rml2018(make.hdf5(), problems.append).iq
    indices = np.array([3, 1], np.int64)
    here = store[indices]
    assert b"GOLD" in pickle.dumps(store)
    np.testing.assert_array_equal(in_another_process(store, indices), here)
    store._process = os.getpid() + 1
    np.testing.assert_array_equal(store[indices], here)


@given(st.lists(st.integers(0, 20_000), max_size=60), st.integers(1, 300))
def test_runs_hold_every_row_once_in_order_and_are_bounded(values: list[int], chunk: int):
    rows = np.unique(np.array(values, np.int64))
    runs = list(_runs(rows, chunk))
    assert np.concatenate([np.zeros(0, np.int64), *runs]).tolist() == rows.tolist()
    assert all(run[-1] - run[0] < 4096 for run in runs)


def test_rows_that_are_not_one_hot_are_told_and_left_out(make: Any, problems: Any):
    hot = np.eye(24, dtype=np.int64)[np.arange(60) % 24]
    hot[2], hot[5, 7], hot[9] = 0, 1, 3 * hot[9]
    frames = load_rml2018(make.hdf5(Y=hot), problems.append)
    assert len(frames) == 57
    assert str(problems[0]).startswith(f"{make.folder}/GOLD.hdf5[row 2]: 3 of 60 rows whose label is not one-hot")
    whole = load_rml2018(make.hdf5("b.hdf5"), problems.append)
    np.testing.assert_array_equal(frames.iq[np.array([2])], whole.iq[np.array([3])])


WRONG = {
    "no Z": ({"Z": None}, "has no dataset 'Z' of its own; it has: X, Y"),
    "23 classes": ({"Y": np.eye(23)[np.arange(60) % 23]}, "labels of 23 classes, expected 24"),
    "fewer labels": ({"Y": np.eye(24)}, "holds {"),
    "fewer snrs": ({"Z": np.zeros((59, 1))}, "holds {"),
    "no rails": ({"X": np.zeros((60, 32))}, "holds {"),
    "rails first": ({"X": np.zeros((60, 2, 32))}, "holds {"),
    "text": ({"Z": np.full((60, 1), b"a")}, "holds {"),
    "no label at all": ({"Y": np.zeros((60, 24))}, "no row with a one-hot label"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_hdf5_file_of_another_layout_is_a_data_error(make: Any, problems: Any, name: str):
    changes, told = WRONG[name]
    with pytest.raises(DataError, match=told) as error:
        load_rml2018(make.hdf5(**changes), problems.append)
    assert "Expected RML2018.01a" in error.value.advice


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_hdf5_file_is_a_data_error(make: Any, problems: Any, share: float):
    path = make.hdf5()
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match="is truncated or no HDF5"):
        load_rml2018(path, problems.append)


def test_an_hdf5_file_that_points_at_others_is_refused(make: Any, problems: Any):
    path = make.hdf5(X=None)
    with h5py.File(path, "a") as file:
        file["X"] = h5py.ExternalLink("other.hdf5", "X")
    with pytest.raises(DataError, match="no dataset 'X' of its own"):
        load_rml2018(path, problems.append)
    with h5py.File(path, "a") as file:
        del file["X"]
        file.create_dataset("X", (60, 32, 2), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(DataError, match="no dataset 'X' of its own"):
        load_rml2018(path, problems.append)


def test_an_hdf5_file_that_claims_rows_it_cannot_hold_is_refused(make: Any, problems: Any):
    path = make.folder / "huge.hdf5"
    with h5py.File(path, "w") as file:
        for name, shape in (("X", (10**9, 1024, 2)), ("Y", (10**9, 24)), ("Z", (10**9, 1))):
            file.create_dataset(name, shape, "f4", chunks=(1, *shape[1:]))
    with pytest.raises(DataError, match="far too small for X"):
        load_rml2018(path, problems.append)


def test_a_frame_of_nan_in_an_hdf5_file_is_named_when_it_is_read(make: Any, problems: Any):
    values = make.noise(60, 32, 2)
    values[7, 3, 1] = np.nan
    frames = load_rml2018(make.hdf5(X=values), problems.append)
    frames.iq[np.array([6, 8])]
    with pytest.raises(DataError, match=r"\[row 7\]: samples that are not finite"):
        frames.iq[np.array([8, 7])]


def test_hisarmod_rows_are_frames_with_the_label_of_their_code(make: Any, problems: Any):
    frames = make.joined(read_hisarmod(make.hisarmod(), problems.append))
    assert frames.label.tolist() == ["BPSK", "256QAM", "PM", "BPSK", "256QAM"]
    assert frames.snr_db.tolist() == [-20, -18, -16, -14, -12]
    assert frames.id.tolist() == [f"train/000000{i}" for i in range(5)]
    expected = make.tone(5 * 1024, seed=5).reshape(5, 1024)
    np.testing.assert_allclose(frames.iq[:, 0] + 1j * frames.iq[:, 1], expected, rtol=1e-4, atol=1e-5)
    assert len(CLASSES) == 26
    assert not problems


def test_hisarmod_rows_that_cannot_be_used_are_named_and_the_others_stay(make: Any, problems: Any):
    lines = {"row1": "1+2i,3", "row3": ",".join(["0+0i"] * 1024), "row4": ",".join(["NaN+1i"] * 1024), "row5": "a" * 50}
    lines["row6"] = ",".join(["x"] * 1024)
    path = make.hisarmod(rows=9, codes=["0", "1", "2", "3", "4", "10", "20", "77", "44"], **lines)
    frames = make.joined(read_hisarmod(path, problems.append))
    assert frames.label.tolist() == ["BPSK", "2FSK", "FM"]
    told = str(problems)
    for part in (
        "train_data.csv:2: has 2 samples, expected 1024",
        "[train/0000003]: all samples are zero",
        "[train/0000004]: samples that are not finite",
        "train_data.csv:6: has 1 samples",
        "train_data.csv:7: holds text that is no complex number",
        "[train/0000007]: label 77 and SNR -6; expected a known code",
    ):
        assert part in told
    assert len(problems) == 6


def test_hisarmod_tables_of_different_length_are_told(make: Any, problems: Any):
    path = make.hisarmod()
    labels = path.with_name("train_labels.csv")
    labels.write_text("0\n1\n")
    with pytest.raises(DataError, match="has 2 labels but 5 SNRs"):
        list(read_hisarmod(path, problems.append))
    for name in ("labels", "snr"):
        path.with_name(f"train_{name}.csv").write_text("0\n" * 7)
    assert len(make.joined(read_hisarmod(path, problems.append))) == 5
    assert "has 5 rows but 7 labels" in str(problems)
    for name in ("labels", "snr"):
        path.with_name(f"train_{name}.csv").write_text("0\n" * 3)
    with pytest.raises(DataError, match="has more rows than its 3 labels"):
        list(read_hisarmod(path, problems.append))
    labels.unlink()
    with pytest.raises(DataError, match="has no table of labels beside it"):
        list(read_hisarmod(path, problems.append))


def test_a_hisarmod_row_without_an_end_is_a_data_error(make: Any, problems: Any):
    path = make.hisarmod()
    path.write_bytes(b"1" * (2 << 20))
    with pytest.raises(DataError, match="a row of more than"):
        list(read_hisarmod(path, problems.append))


def test_stored_frames_equal_those_read_and_problems_come_every_time(make: Any, problems: Any):
    iq = make.noise(3, 2, 16)
    iq[1] = 0
    path = make.rml(QAM16_2=iq)
    plain = make.joined(read_rml_pickle(path, lambda _: None))
    reads = 0

    def read(report: Any):
        nonlocal reads
        reads += 1
        return read_rml_pickle(path, report)

    for times in (1, 2):
        frames = stored([path], read, problems.append)
        np.testing.assert_array_equal(everything(frames), plain.iq)
        for name in ("label", "snr_db", "id", "group", "start"):
            np.testing.assert_array_equal(getattr(frames, name), getattr(plain, name))
        assert frames.sources == (str(path),)
        assert [error.item for error in problems] == ["QAM16/2/0001"] * times
    assert reads == 1


def test_stored_frames_are_mapped_by_spawned_workers(make: Any, problems: Any):
    path = make.rml()
    frames = stored([path], lambda report: read_rml_pickle(path, report), problems.append)
    store: Any = frames.iq
    indices = np.array([5, 2], np.int64)
    assert len(pickle.dumps(store)) < 1000
    np.testing.assert_array_equal(in_another_process(store, indices), store[indices])


def test_a_file_that_changes_is_read_again(make: Any, problems: Any):
    path = make.rml()
    assert len(load_card(make.folder, problems.append)) == 12
    make.rml(per_key=5)
    assert len(load_card(path.parent, problems.append)) == 20


def test_nothing_is_left_in_the_cache_of_a_set_that_cannot_be_read(make: Any, problems: Any):
    path = make.rml()

    def read(report: Any):
        yield from read_rml_pickle(path, report)
        raise DataError("broke off")

    for _ in range(2):
        with pytest.raises(DataError, match="broke off"):
            stored([path], read, problems.append)
    with pytest.raises(DataError, match="no frame found"):
        stored([path], lambda _: iter(()), problems.append)


def test_a_folder_is_taken_as_the_set_that_lies_in_it(make: Any, problems: Any):
    make.write("README.md", b"# RML")
    make.write("LICENSE.TXT", b"text")
    make.rml("sub/RML2016.10b.dat")
    frames = load_card(make.folder, problems.append)
    assert (len(frames), frames.sample_rate_hz) == (12, 200e3)
    assert not problems


def test_several_pickles_in_a_folder_are_told_apart_by_their_name(make: Any, problems: Any):
    make.rml("a.pkl")
    make.rml("b.pkl.gz", per_key=2)
    frames = load_card(make.folder, problems.append)
    assert len(frames) == 20
    assert len(set(frames.id)) == 20
    assert frames.id[0] == "a/BPSK/-20/0000"


def test_hdf5_and_hisarmod_folders_are_found_by_their_files(make: Any, problems: Any):
    make.hisarmod("Train")
    make.hisarmod("Test", rows=3)
    frames = load_card(make.folder, problems.append)
    assert len(frames) == 8
    assert {name.split("/")[0] for name in frames.id} == {"train", "test"}
    assert np.isnan(frames.sample_rate_hz)
    make.hdf5()
    frames = load_card(make.folder, problems.append)
    assert (len(frames), frames.sample_rate_hz) == (60, 1e6)
    assert not problems


def test_a_folder_without_a_set_says_what_was_expected(make: Any, problems: Any):
    make.write("a.pkl", b"no pickle")
    with pytest.raises(DataError, match=r"no key|damaged|instruction|data set that is known"):
        load_card(make.folder, problems.append)
    (make.folder / "a.pkl").unlink()
    with pytest.raises(DataError, match="holds no data set that is known") as error:
        load_card(make.folder, problems.append)
    assert "RML2016.10a" in error.value.advice


@pytest.mark.real
def test_the_regenerated_set_has_eighty_frames_of_each_key(data_root: Any, problems: Any):
    frames = load_card(data_root / "modulation" / "rml2016a_regen", problems.append)
    assert len(frames) == 17_600
    assert frames.length == 128
    keys, counts = np.unique(np.char.add(frames.label, frames.snr_db.astype(str)), return_counts=True)
    assert len(keys) == 220
    assert set(counts) == {80}
    some = frames.iq[np.arange(0, 17_600, 100)]
    np.testing.assert_allclose(np.hypot(some[:, 0], some[:, 1]).sum(1), 1, rtol=1e-4)
    assert not problems


@pytest.mark.real
def test_the_satellite_recordings_load_as_a_card(data_root: Any, problems: Any):
    frames = load_card(data_root / "modulation" / "satellite_recordings", problems.append)
    assert frames.sample_rate_hz == 48e3
    assert {"AFSK", "BPSK", "FSK"} <= set(frames.label)
