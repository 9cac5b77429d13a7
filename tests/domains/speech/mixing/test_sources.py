"""Which voices and noises a folder holds."""

from pathlib import Path

import numpy as np
import soundfile

from armillary.core.errors import DataError
from armillary.domains.speech.mixing.sources import scan_noises, scan_voices


def put(path: Path, samples: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(samples, 0.1), 8000)
    return path


def test_the_reader_of_a_librispeech_file_is_its_speaker_and_the_table_tells_the_sex(tmp_path: Path):
    put(tmp_path / "train-clean-100" / "103" / "1240" / "103-1240-0003.flac")
    put(tmp_path / "dev-clean" / "84" / "121123" / "84-121123-0000.flac", 160)
    (tmp_path / "SPEAKERS.TXT").write_text(";ID  |SEX| SUBSET\n103  | F | train-clean-100 | 25 | Name\n")
    problems: list[DataError] = []
    dev, train = scan_voices(tmp_path, "", problems.append)
    assert not problems
    assert (train.speaker, train.sex, train.name, train.seconds) == ("103", "F", "103-1240-0003", 0.01)
    assert (dev.speaker, dev.sex, dev.path) == ("84", "", "dev-clean/84/121123/84-121123-0000.flac")
    (below,) = scan_voices(tmp_path, "dev-clean", problems.append)
    assert below == dev


def test_otherwise_the_first_folder_is_the_speaker_and_equal_names_become_paths(tmp_path: Path):
    for name in ("anna/1.wav", "anna/deep/2.wav", "bert/1.wav", "3.wav", "bert/notes.txt", "bert/.hidden.wav"):
        put(tmp_path / name) if name.endswith("wav") else (tmp_path / name).touch()
    problems: list[DataError] = []
    found = scan_voices(tmp_path, "", problems.append)
    assert [(voice.speaker, voice.name) for voice in found] == [
        ("anna", "anna-1"),
        ("anna", "2"),
        ("bert", "bert-1"),
    ]
    assert [str(problem).splitlines()[0].partition(": ")[2] for problem in problems] == [
        "1 file(s) lie in no speaker's folder, the first is 3.wav"
    ]


def test_files_that_cannot_be_used_are_told_and_left_out(tmp_path: Path):
    put(tmp_path / "anna" / "1.wav")
    (tmp_path / "anna" / "2.wav").write_bytes(b"")
    (tmp_path / "anna" / "3.flac").write_bytes(b"fLaC" + bytes(40))
    problems: list[DataError] = []
    assert [voice.name for voice in scan_voices(tmp_path, "", problems.append)] == ["1"]
    assert {Path(str(problem.path)).name for problem in problems} == {"2.wav", "3.flac"}
    assert [noise.path for noise in scan_noises(tmp_path, "anna", problems.append)] == ["anna/1.wav"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    problems: list[DataError] = []
    assert scan_voices(tmp_path, "gone", problems.append) == []
    assert "is no folder" in str(problems[0])
