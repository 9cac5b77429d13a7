"""Files and folders as chunks of frames: every kind, what is told about rates, what is left out and why."""

import json
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.read import read
from armillary.domains.modulation.settings import ModulationPredict


def chunks(paths: Sequence[Path], problems: list[DataError], size: int = 1024, **settings: Any) -> list[xr.Dataset]:
    told = ModulationPredict(**settings) if settings else None
    return list(read(paths, ReadOptions(problems.append, size, told)))


def iq(count: int, seed: int = 0) -> np.ndarray:
    pairs = np.random.default_rng(seed).standard_normal((count, 2)).astype(np.float32)
    return pairs.view(np.complex64)[:, 0]


def raw(path: Path, count: int = 1000) -> Path:
    path.write_bytes(iq(count).tobytes())
    return path


def rml(path: Path, frames: np.ndarray | None = None) -> Path:
    values = np.random.default_rng(0).standard_normal((5, 2, 128)).astype(np.float32) if frames is None else frames
    path.write_bytes(pickle.dumps({("QPSK", 18): values, ("BPSK", 2): values}, 2))
    return path


def sigmf(folder: Path, name: str = "s", **more: Any) -> Path:
    (folder / f"{name}.sigmf-data").write_bytes(iq(1000).tobytes())
    about = {"core:datatype": "cf32_le", "core:version": "1.2.0", "core:sample_rate": 2e5, **more}
    meta = {"global": about, "captures": [{"core:sample_start": 0}], "annotations": []}
    path = folder / f"{name}.sigmf-meta"
    path.write_text(json.dumps(meta))
    return path


def wav(path: Path, channels: int, count: int = 1000) -> Path:
    data = (np.random.default_rng(1).standard_normal((count, channels)) * 3000).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, channels, 48000, 0, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def test_a_folder_of_everything_gives_each_file_its_own_chunks(tmp_path: Path):
    raw(tmp_path / "a.cf32")
    rml(tmp_path / "b.pkl")
    sigmf(tmp_path)
    wav(tmp_path / "c.wav", 2)
    wav(tmp_path / "d.wav", 1)
    np.save(tmp_path / "e.npy", iq(1000))
    (tmp_path / "README.md").write_text("not data")
    (tmp_path / ".hidden.cf32").write_text("not data")
    problems: list[DataError] = []
    found = chunks([tmp_path], problems)
    frames = [Frames.from_dataset(chunk) for chunk in found]
    names = [Path(part.sources[0]).name for part in frames]
    assert names == ["a.cf32", "b.pkl", "b.pkl", "c.wav", "d.wav", "e.npy", "s.sigmf-meta"]
    assert [len(part) for part in frames] == [7, 5, 5, 7, 7, 7, 7]
    assert [chunk.attrs["capture"] for chunk in found] == [1, 0, 0, 1, 1, 1, 1]
    assert all(part.length == 128 for part in frames)
    assert not problems


def test_frames_of_a_set_keep_their_labels_and_come_in_chunks(tmp_path: Path):
    problems: list[DataError] = []
    found = chunks([rml(tmp_path / "b.pkl")], problems, 2)
    assert [chunk.sizes["item"] for chunk in found] == [2, 2, 1, 2, 2, 1]
    assert found[0]["item"].values.tolist() == ["BPSK/2/0000", "BPSK/2/0001"]
    assert found[-1]["label"].values.tolist() == ["QPSK"]
    assert found[-1]["snr_db"].values.tolist() == [18]
    assert found[0].attrs["sample_rate_hz"] == 200e3


def test_a_rate_is_the_files_own_or_the_one_that_is_told(tmp_path: Path):
    problems: list[DataError] = []
    unknown, own = raw(tmp_path / "a.cf32"), wav(tmp_path / "c.wav", 2)
    assert np.isnan(chunks([unknown], problems)[0].attrs["sample_rate_hz"])
    told = chunks([unknown], problems, sample_rate_hz=1e6, centre_hz=7e6)[0]
    assert (told.attrs["sample_rate_hz"], told.attrs["centre_hz"]) == (1e6, 7e6)
    assert chunks([own], problems)[0].attrs["sample_rate_hz"] == 48e3
    assert not problems
    assert chunks([own, unknown], problems, sample_rate_hz=1e6)[0].attrs["sample_rate_hz"] == 1e6
    assert "c.wav: the file's sample rate is 48000 Hz, predict.sample_rate_hz says 1000000 Hz" in str(problems[0])
    assert chunks([rml(tmp_path / "b.pkl")], problems, sample_rate_hz=1e6)[0].attrs["sample_rate_hz"] == 1e6


def test_windows_are_as_the_settings_say(tmp_path: Path):
    problems: list[DataError] = []
    found = chunks([raw(tmp_path / "a.cf32")], problems, 6, window=100, hop=50, smooth=3)
    frames = [Frames.from_dataset(chunk) for chunk in found]
    assert [(len(part), part.lead) for part in frames] == [(6, 0), (6, 2), (6, 2), (6, 2), (3, 2)]
    assert np.concatenate([part.start[part.lead :] for part in frames]).tolist() == list(range(0, 901, 50))


def test_a_raw_file_under_any_name_is_read_when_its_format_is_told(tmp_path: Path):
    problems: list[DataError] = []
    path = raw(tmp_path / "recording.bin")
    assert chunks([path], problems) == []
    assert "is of no known kind" in str(problems[0])
    assert "predict.dtype" in problems[0].advice
    assert chunks([path], problems, dtype="complex64")[0].sizes["item"] == 7


def test_both_files_of_a_sigmf_pair_count_once(tmp_path: Path):
    problems: list[DataError] = []
    meta = sigmf(tmp_path)
    assert len(chunks([meta, meta.with_suffix(".sigmf-data"), tmp_path], problems)) == 1
    assert not problems


WRONG: dict[str, tuple[bytes, str]] = {
    "a.pkl": (pickle.dumps({"class": print}, 2), "names __builtin__.print"),
    "b.pkl": (b"", "is empty"),
    "a.hdf5": (b"\x89HDF\r\n\x1a\nshort", "is truncated or no HDF5"),
    "a.sigmf-meta": (b'{"global": {"core:datatype": "cf99"}}', "core:datatype is 'cf99'"),
    "b.sigmf-data": (bytes(80), "has no metadata beside it"),
    "a.sigmf": (b"no archive", "is no plain tar archive"),
    "a.sigmf-collection": (b"{}", "is a SigMF collection"),
    "a.cu8": (bytes(31), "has 31 bytes, which is no whole number of samples of 2 bytes"),
    "short.cu8": (bytes(range(32)), "has 16 samples; expected at least 128, one window"),
    "none.cf32": (b"", "has 0 samples"),
    "zeros.cf32": (bytes(8 * 128), "1 of 1 windows hold nothing but zeros"),
    "a.wav": (b"RIFF\0\0\0\0WAVE", "no format chunk"),
    "a.txt": (b"text", "is of no known kind"),
    "a.npy": (b"\x93NUMPY", "is no NumPy array that can be mapped"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_cannot_be_used_is_told_and_the_good_one_is_read(tmp_path: Path, name: str):
    content, told = WRONG[name]
    problems: list[DataError] = []
    (tmp_path / name).write_bytes(content)
    found = chunks([tmp_path / name, raw(tmp_path / "good.cf32")], problems)
    assert [Path(Frames.from_dataset(chunk).sources[0]).name for chunk in found] == ["good.cf32"]
    assert told in "\n".join(map(str, problems))
    assert all(problem.advice for problem in problems)


def test_missing_and_empty_places_are_told(tmp_path: Path):
    problems: list[DataError] = []
    (tmp_path / "empty").mkdir()
    assert chunks([tmp_path / "none", tmp_path / "empty"], problems) == []
    assert [error.problem for error in problems] == ["does not exist", "holds no data files"]


def test_frames_of_zeros_and_nan_in_a_set_are_named(tmp_path: Path):
    frames = np.ones((3, 2, 128), np.float32)
    frames[0], frames[2, 0, 0] = 0, np.inf
    problems: list[DataError] = []
    found = chunks([rml(tmp_path / "a.pkl", frames)], problems)
    assert [chunk["item"].values.tolist() for chunk in found] == [["BPSK/2/0001"], ["QPSK/18/0001"]]
    assert [error.item for error in problems] == ["BPSK/2/0000", "BPSK/2/0002", "QPSK/18/0000", "QPSK/18/0002"]


def test_reading_imports_no_torch(tmp_path: Path):
    import subprocess
    import sys

    path = raw(tmp_path / "a.cf32")
    program = (
        "import sys; from pathlib import Path; from armillary.core.domain import ReadOptions; "
        "from armillary.domains.modulation.read import read; "
        f"list(read([Path({str(path)!r})], ReadOptions(print))); "
        "sys.exit('torch' in sys.modules or 'h5py' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
