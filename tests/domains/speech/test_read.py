"""Files, folders and lists as chunks of windows: what a prediction sees of recordings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import xarray as xr

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.speech import read as module
from armillary.domains.speech.read import read
from armillary.domains.speech.settings import SpeechPredict


def chunks(
    paths: list[Path], problems: list[DataError] | None = None, size: int = 1024, **told: Any
) -> list[xr.Dataset]:
    report = [].append if problems is None else problems.append
    return list(read(paths, ReadOptions(report, size, SpeechPredict(**told) if told else None)))


def write(path: Path, samples: int, rate: int = 8000, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    signal = (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)
    soundfile.write(path, signal, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return signal


def files_of(found: list[xr.Dataset]) -> list[str]:
    return [Path(file).name for chunk in found for file in chunk["file"].values.tolist()]


def test_windows_of_a_file_hold_every_sample_of_it(tmp_path: Path):
    signal = write(tmp_path / "a.wav", 20000)
    (found,) = chunks([tmp_path / "a.wav"], window_s=1.0, overlap=0.25)
    assert found.attrs == {"sample_rate_hz": 8000, "window": 8000, "hop": 6000}
    assert found["start"].values.tolist() == [0, 6000, 12000]
    assert found["length"].values.tolist() == [8000, 8000, 8000]
    assert found["last"].values.tolist() == [False, False, True]
    assert found["item"].values.tolist() == [f"{tmp_path}/a.wav:{start}" for start in (0, 6000, 12000)]
    assert found["mixture"].dtype == np.float32
    for window, start in zip(found["mixture"].values, found["start"].values, strict=True):
        np.testing.assert_array_equal(window, signal[start : start + 8000])
    assert found["length"].attrs["units"] == found["start"].attrs["units"] == "sample"


def test_every_chunk_tells_the_recordings_that_are_named_as_voices_are(tmp_path: Path):
    for name in ("talk.wav", "talk-1.wav", "take-one.wav"):
        write(tmp_path / name, 100)
    found = chunks([tmp_path], size=1)
    assert [chunk.attrs["kept"] for chunk in found] == [[f"{tmp_path}/talk-1.wav"]] * 3


def test_short_files_share_a_chunk_and_are_padded(tmp_path: Path):
    for place, samples in enumerate((1, 500, 9000)):
        write(tmp_path / f"{place}.wav", samples)
    (found,) = chunks([tmp_path], window_s=1.0)
    assert files_of([found]) == ["0.wav", "1.wav", "2.wav", "2.wav"]
    assert found["length"].values.tolist() == [1, 500, 8000, 8000]
    assert found["last"].values.tolist() == [True, True, False, True]
    assert not found["mixture"].values[0, 1:].any()


def test_chunks_are_bounded_by_windows_and_by_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "a.wav", 60000)
    whole = chunks([tmp_path], window_s=0.5)
    for found in (chunks([tmp_path], size=4, window_s=0.5), _small(tmp_path, monkeypatch)):
        assert [chunk.sizes["item"] for chunk in found][:-1] == [4] * (len(found) - 1)
        starts = np.concatenate([chunk["start"].values for chunk in found])
        np.testing.assert_array_equal(starts, whole[0]["start"].values)


def _small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[xr.Dataset]:
    monkeypatch.setattr(module, "CHUNK_SAMPLES", 4 * 4000)
    return chunks([folder], window_s=0.5)


def test_files_come_at_the_rate_of_the_settings(tmp_path: Path):
    write(tmp_path / "a.wav", 4800, 48000)
    assert chunks([tmp_path])[0]["length"].values.tolist() == [800]
    (found,) = chunks([tmp_path], sample_rate_hz=16000, window_s=None)
    assert found["length"].values.tolist() == [1600]
    assert found.attrs == {"sample_rate_hz": 16000, "window": 0, "hop": 0}


def test_a_file_can_be_read_whole_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    signal = write(tmp_path / "a.wav", 150_000)
    (found,) = chunks([tmp_path], window_s=None)
    np.testing.assert_array_equal(found["mixture"].values[0], signal)
    monkeypatch.setattr(module, "WHOLE_SAMPLES", 100_000)
    problems: list[DataError] = []
    assert not chunks([tmp_path], problems, window_s=None)
    assert "too long to be separated whole" in str(problems[0])


def test_broken_files_are_reported_and_the_others_come_out(tmp_path: Path):
    write(tmp_path / "a.wav", 900)
    write(tmp_path / "d" / "e.flac", 900)
    (tmp_path / "b.wav").write_bytes(b"")
    (tmp_path / "c.mp3").write_bytes(b"no audio" * 40)
    (tmp_path / "README.md").write_text("passed over")
    (tmp_path / ".hidden.wav").write_bytes(b"passed over")
    (tmp_path / ".git").mkdir()
    write(tmp_path / ".git" / "x.wav", 10)
    problems: list[DataError] = []
    assert files_of(chunks([tmp_path], problems)) == ["a.wav", "e.flac"]
    assert [Path(str(problem.path)).name for problem in problems] == ["b.wav", "c.mp3"]


def test_a_damaged_file_gives_the_windows_before_the_damage(tmp_path: Path):
    write(tmp_path / "a.flac", 40000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    problems: list[DataError] = []
    (found,) = chunks([tmp_path], problems, window_s=1.0)
    assert found["last"].values.tolist()[-1]
    assert 8000 < found["start"].values[-1] + found["length"].values[-1] < 25000
    assert len(problems) == 1


def test_nonsense_is_one_clear_problem(tmp_path: Path):
    (tmp_path / "nonsense.bin").write_bytes(bytes(range(256)) * 4)
    problems: list[DataError] = []
    assert not chunks([tmp_path / "nonsense.bin", tmp_path / "nothing.wav"], problems)
    assert {problem.problem for problem in problems} == {
        "no audio that can be read (Format not recognised)",
        "does not exist",
    }
    assert any("nonsense.bin" in str(problem) for problem in problems)


def test_an_empty_folder_is_reported(tmp_path: Path):
    problems: list[DataError] = []
    assert not chunks([tmp_path], problems)
    assert "holds no audio files" in str(problems[0])


def test_a_channel_that_a_file_lacks_is_reported(tmp_path: Path):
    write(tmp_path / "a.wav", 100)
    problems: list[DataError] = []
    assert not chunks([tmp_path], problems, channel=1)
    assert "has no channel 1" in str(problems[0])


def test_lists_name_files_relative_to_themselves(tmp_path: Path):
    for name in ("a b.wav", "c.wav", "d.wav"):
        write(tmp_path / "x" / name, 100)
    text = tmp_path / "x" / "all.txt"
    text.write_text(f"# comment\n\na b.wav\nmissing.wav\n{tmp_path / 'x' / 'c.wav'}\na b.wav\n\0\n")
    scp = tmp_path / "some.scp"
    scp.write_text("utt1 x/d.wav\nutt2 sph2pipe -f wav x.sph |\nutt3\n")
    problems: list[DataError] = []
    assert files_of(chunks([text, scp, tmp_path / "x" / "c.wav"], problems)) == ["a b.wav", "c.wav", "d.wav"]
    assert [(Path(str(problem.path)).name, problem.row) for problem in problems] == [
        ("all.txt", 4), ("all.txt", 7), ("some.scp", 2), ("some.scp", 3),
    ]  # fmt: skip
    assert "is a command" in problems[2].problem


def test_lists_that_are_none_are_reported(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.lst").write_text("# nothing\n")
    problems: list[DataError] = []
    assert not chunks([tmp_path / "a.txt", tmp_path / "b.lst", tmp_path / "c.scp"], problems)
    assert [problem.problem for problem in problems] == [
        "is no list of paths in UTF-8", "lists no files", "cannot be read (No such file or directory)",
    ]  # fmt: skip
