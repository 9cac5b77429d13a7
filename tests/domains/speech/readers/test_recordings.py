"""Voices and noises in files: who speaks, in which split, how long, and what is wrong with some."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_array_equal

from armillary.core.errors import DataError
from armillary.domains.speech.mixing.pool import VoicePool
from armillary.domains.speech.readers.librispeech import read_librispeech, read_sexes, speaker_of, tree_of
from armillary.domains.speech.readers.noise import read_noises
from armillary.domains.speech.readers.recordings import Recording, open_pool
from armillary.domains.speech.readers.spoken_digits import is_spoken_digits, read_spoken_digits
from armillary.domains.speech.readers.tables import inside, number, read_table

NOBODY: list[DataError] = []


def write(path: Path, samples: int, rate: int = 16000, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(samples), rate)
    return path


def utterance(root: Path, subset: str, reader: int, number: int = 0, samples: int = 800) -> Path:
    return write(root / subset / str(reader) / "1" / f"{reader}-1-{number:04d}.flac", samples, seed=reader)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "LibriSpeech"
    for subset, reader in (("train-clean-100", 11), ("train-other-500", 12), ("dev-clean", 21), ("test-other", 31)):
        utterance(root, subset, reader)
    (root / "SPEAKERS.TXT").write_text(
        ";ID |SEX| SUBSET |MINUTES| NAME\n11 | F | train-clean-100 | 1 | A | B\n21| M |dev-clean| 1 | C\n"
    )
    return tmp_path


def test_official_subsets_are_the_splits_of_librispeech(tree: Path):
    found = read_librispeech(tree, NOBODY.append)
    assert [(one.id, one.speaker, one.sex, one.split) for one in found] == [
        ("21-1-0000", "21", "M", "validation"),
        ("31-1-0000", "31", "", "test"),
        ("11-1-0000", "11", "F", "train"),
        ("12-1-0000", "12", "", "train"),
    ]
    assert tree_of(tree) == tree_of(tree / "LibriSpeech") == tree / "LibriSpeech"


def test_a_table_of_utterances_tells_splits_and_lengths(tree: Path):
    (tree / "utterances.csv").write_text(
        "split,speaker_ID,sex,subset,length,origin_path,sha1\n"
        "train,11,F,train-clean-100,800,train-clean-100/11/1/11-1-0000.flac,x\n"
        "dev,12,M,train-other-500,801,train-other-500/12/1/12-1-0000.flac,x\n"
        "test,31,M,test-other,many,test-other/31/1/31-1-0000.flac,x\n"
        "test,31,M,test-other,800,../../etc/passwd,x\n"
        "test,9,M,test-other,800,test-other/9/1/9-1-0000.flac,x\n"
    )
    problems: list[DataError] = []
    found = read_librispeech(tree, problems.append)
    assert [(one.speaker, one.sex, one.split, one.told) for one in found] == [
        ("11", "F", "train", 800), ("12", "M", "validation", 801), ("9", "M", "test", 800),
    ]  # fmt: skip
    assert [problem.row for problem in problems] == [4, 5]
    pool = open_pool(found, 16000, problems.append, "card")
    assert pool.speaker.tolist() == ["11", "12"]
    assert "has 800 samples, its table says 801" in str(problems[2])
    assert str(problems[3]).startswith(f"card: {tree}/LibriSpeech/test-other/9/1/9-1-0000.flac[9-1-0000]: cannot be")


def test_a_folder_that_is_no_tree_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="holds no tree of LibriSpeech"):
        read_librispeech(tmp_path, NOBODY.append)


def test_names_of_utterances_tell_the_reader():
    assert [speaker_of(name) for name in ("84-121123-0001", "84-121123", "s1", "a-b-c")] == ["84", "", "", ""]


def test_sexes_are_read_in_spite_of_strange_lines(tmp_path: Path):
    path = tmp_path / "SPEAKERS.TXT"
    path.write_bytes(b"; comment | M |\n\n1 | M | x\n2\n3 | ? | x\n\xff4|F\n")
    assert read_sexes(path) == {"1": "M", "\ufffd4": "F"}


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for speaker in ("ann", "theo"):
        for take in (0, 4, 5, 11, 12, 13):
            for digit in range(3):
                write(tmp_path / "recordings" / f"{digit}_{speaker}_{take}.wav", 100 + digit, 8000, seed=digit)
    return tmp_path


def test_spoken_digits_of_a_take_are_joined_in_an_order_of_their_own(digits: Path):
    assert is_spoken_digits(digits)
    found = read_spoken_digits(digits)
    assert {one.id: one.split for one in found if one.speaker == "ann"} == {
        "ann_0": "test", "ann_4": "test", "ann_5": "train", "ann_11": "validation", "ann_12": "validation",
        "ann_13": "train",
    }  # fmt: skip
    assert [one.sex for one in found if one.id.endswith("_0")] == ["", "M"]
    orders = {tuple(path.name[0] for path in one.paths) for one in found}
    assert len(orders) > 1
    assert all(sorted(order) == ["0", "1", "2"] for order in orders)


def test_a_recording_of_several_files_is_these_end_to_end(digits: Path):
    recording = read_spoken_digits(digits)[0]
    pool = open_pool([recording], 8000, NOBODY.append)
    assert isinstance(pool, VoicePool)
    assert pool.lengths.tolist() == [303]
    whole = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in recording.paths])
    assert_array_equal(pool.load(0), whole)
    assert_array_equal(pool.load(0, 90, 210), whole[90:210])


def test_a_pool_holds_what_can_be_read_at_its_rate(tmp_path: Path):
    good, broken = write(tmp_path / "good.wav", 1001), tmp_path / "broken.flac"
    broken.write_bytes(write(tmp_path / "x.flac", 9000).read_bytes()[:4000])
    problems: list[DataError] = []
    recordings = [Recording("b", "B", (broken,)), Recording("g", "G", (good,), "F")]
    pool = open_pool(recordings, 8000, problems.append, "card")
    assert (pool.ids.tolist(), pool.sex.tolist(), pool.lengths.tolist()) == (["g"], ["F"], [501])
    assert len(pool.load(0)) == 501
    assert len(problems) == 1
    assert "broken.flac[b]: is cut off" in str(problems[0])
    assert len(open_pool([], 8000, NOBODY.append)) == 0


def test_a_flat_folder_of_noises_is_split_without_common_seconds(tmp_path: Path):
    for place, name in enumerate("abc"):
        write(tmp_path / f"{name}.wav", 16000, 8000, seed=place)
    (tmp_path / "noise.csv").write_text("no noise")
    train, validation, test = (
        open_pool(read_noises(tmp_path, split), 8000, NOBODY.append) for split in ("train", "validation", "test")
    )
    assert (train.ids.tolist(), validation.ids.tolist(), test.ids.tolist()) == (["a", "b"], ["a", "b"], ["c"])
    assert (train.lengths.tolist(), validation.lengths.tolist(), test.lengths.tolist()) == (
        [8800, 8800], [5600, 5600], [16000],
    )  # fmt: skip
    whole = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    assert_array_equal(train.load(0), whole[:8800])
    assert_array_equal(validation.load(0, 10, 99999), whole[10410:])


def test_noises_in_folders_of_splits_are_taken_from_these(tmp_path: Path):
    for name in ("tr", "cv", "tt"):
        write(tmp_path / name / f"{name}1.wav", 100)
    assert [[one.id for one in read_noises(tmp_path, split)] for split in ("train", "validation", "test")] == [
        ["tr1"], ["cv1"], ["tt1"],
    ]  # fmt: skip
    (tmp_path / "tt" / "tt1.wav").unlink()
    with pytest.raises(DataError, match="holds no noise"):
        read_noises(tmp_path, "test")


def test_one_noise_alone_is_cut_into_three(tmp_path: Path):
    write(tmp_path / "a.wav", 1000)
    parts = [read_noises(tmp_path, split)[0].part for split in ("train", "validation", "test")]
    assert all(earlier[1] < later[0] for earlier, later in pairwise(parts))


def test_tables_tell_the_place_of_what_is_wrong(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("\ufeffname,gain\na,1.5\nb\nc,inf\n")
    rows = list(read_table(path, ["name", "gain"]))
    assert rows == [
        (2, {"name": "a", "gain": "1.5"}),
        (3, {"name": "b", "gain": ""}),
        (4, {"name": "c", "gain": "inf"}),
    ]
    assert number(path, *rows[0], "gain") == 1.5
    for row in rows[1:]:
        with pytest.raises(DataError, match=rf"a\.csv:{row[0]}: gain is '.*'; expected a number"):
            number(path, *row, "gain")
    with pytest.raises(DataError, match=r"a\.csv:1: has no column loss; it has name, gain"):
        list(read_table(path, ["name", "loss"]))
    path.write_bytes(b"name,gain\n\xff,1\n")
    with pytest.raises(DataError, match="is no table in CSV"):
        list(read_table(path, ["name"]))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_table(tmp_path / "none.csv", ["name"]))


@pytest.mark.parametrize("text", ["", "/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(text: str):
    with pytest.raises(DataError, match="is no path below"):
        inside(Path("/data"), Path("list.csv"), 3, text)
