"""`armillary speech mix`: sets in LibriMix's layout, new or of lists."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from armillary.core.errors import ConfigError
from armillary.domains.speech.commands.mix import main
from armillary.domains.speech.simulation.noise import coloured_noise
from armillary.domains.speech.simulation.tree import Cast, write_flac, write_tree

SPLITS = "train=train-x,dev=dev-x"
KINDS = {"mix_clean", "mix_both", "mix_single", "s1", "s2", "noise"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tree in LibriSpeech's layout, and noises."""
    folder = tmp_path_factory.mktemp("home")
    casts = [Cast("train", "train-x", 11, 4, 2, (0.5, 0.8)), Cast("dev", "dev-x", 21, 3, 1, (0.5, 0.8))]
    write_tree(folder / "LibriSpeech", casts, 16_000, 0)
    for name in "abc":
        write_flac(folder / "noise" / f"{name}.flac", coloured_noise(1.0, 16_000, 1.0, ord(name)), 16_000)
    return folder


def mix(home: Path, out: Path, *arguments: str) -> int:
    return main([str(home / "LibriSpeech"), "--out", str(out), "--shortest", "0.3", *arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.wav"))}


@pytest.fixture(scope="module")
def made(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of noisy mixtures that the tests only read."""
    out = tmp_path_factory.mktemp("made") / "set"
    assert mix(home, out, "--splits", SPLITS, "--count", "train=5,dev=2", "--noise", str(home / "noise")) == 0
    return out


def test_a_set_has_the_layout_of_librimix(made: Path):
    assert {path.name for path in (made / "wav8k" / "min" / "train").iterdir()} == KINDS
    with (made / "metadata" / "libri2mix_train.csv").open() as stream:
        listed = [row["mixture_ID"] for row in csv.DictReader(stream)]
    for kind in KINDS:
        assert sorted(path.stem for path in (made / "wav8k" / "min" / "train" / kind).iterdir()) == sorted(listed)
    with (made / "wav8k" / "min" / "metadata" / "mixture_dev_mix_both.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        "mixture_ID", "mixture_path", "source_1_path", "source_2_path", "noise_path", "length",
    ]  # fmt: skip
    about = soundfile.info(made / rows[0]["mixture_path"])
    assert (about.samplerate, about.frames, about.subtype) == (8000, int(rows[0]["length"]), "PCM_16")


def test_mixtures_are_the_sums_of_their_parts(made: Path):
    place = made / "wav8k" / "min" / "train"
    for path in (place / "mix_both").iterdir():
        part = {kind: soundfile.read(place / kind / path.name)[0] for kind in KINDS}
        step = 2.0**-15
        np.testing.assert_allclose(part["mix_clean"], part["s1"] + part["s2"], atol=2 * step)
        np.testing.assert_allclose(part["mix_both"], part["mix_clean"] + part["noise"], atol=2 * step)
        np.testing.assert_allclose(part["mix_single"], part["s1"] + part["noise"], atol=2 * step)


def test_no_speaker_is_in_two_splits_when_speakers_are_dealt(home: Path, tmp_path: Path):
    assert mix(home, tmp_path / "set", "--splits", "train=0.5,test=0.5", "--count", "6") == 0
    speakers = {}
    for split in ("train", "test"):
        with (tmp_path / "set" / "metadata" / f"libri2mix_{split}_info.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        speakers[split] = {row[f"speaker_{place}_ID"] for row in rows for place in (1, 2)}
        assert {row["speaker_1_sex"] for row in rows} <= {"F", "M"}
    assert not speakers["train"] & speakers["test"]


def test_the_same_call_gives_the_same_bytes_and_another_seed_others(home: Path, made: Path, tmp_path: Path):
    same = ["--splits", SPLITS, "--count", "train=5,dev=2", "--noise", str(home / "noise")]
    mix(home, tmp_path / "again", *same)
    mix(home, tmp_path / "other", *same, "--seed", "1")
    assert contents(tmp_path / "again") == contents(made)
    assert contents(tmp_path / "other") != contents(made)


def test_a_halted_build_goes_on_and_ends_as_the_straight_one(home: Path, tmp_path: Path, capsys):
    call = ["--splits", SPLITS, "--count", "train=4,dev=1"]
    mix(home, tmp_path / "set", *call)
    straight = contents(tmp_path / "set")
    train = tmp_path / "set" / "wav8k" / "min" / "train"
    halted, cut, kept, *_ = sorted((train / "mix_clean").iterdir())
    halted.unlink()
    cut.write_bytes(cut.read_bytes()[:1000])
    untouched = kept.stat().st_mtime_ns
    capsys.readouterr()
    mix(home, tmp_path / "set", *call)
    assert contents(tmp_path / "set") == straight
    assert kept.stat().st_mtime_ns == untouched
    assert capsys.readouterr().out.startswith("train: 2 made, 2 there before; ")


def test_a_list_that_was_made_is_made_again_from_its_table(home: Path, made: Path, tmp_path: Path):
    lists = ["--root", str(home / "LibriSpeech"), "--noise", str(home / "noise")]
    assert main([str(made), "--out", str(tmp_path / "again"), *lists]) == 0
    assert contents(tmp_path / "again") == contents(made)


def test_without_the_noises_of_a_list_only_clean_mixtures_are_made(home: Path, made: Path, tmp_path: Path, capsys):
    one = made / "metadata" / "libri2mix_dev.csv"
    assert main([str(one), "--out", str(tmp_path / "set"), "--root", str(home / "LibriSpeech")]) == 0
    assert {path.name for path in (tmp_path / "set" / "wav8k" / "min" / "dev").iterdir()} == {"mix_clean", "s1", "s2"}
    assert "without --noise, mix_clean alone is made" in capsys.readouterr().err


def test_three_voices_in_rooms_at_16_khz_at_full_length(home: Path, tmp_path: Path):
    pytest.importorskip("pyroomacoustics")
    call = ["--voices", "3", "--rate", "16000", "--mode", "max", "--rooms", "0.2,0.3", "--levels", "decibel"]
    assert mix(home, tmp_path / "set", *call, "--splits", SPLITS, "--count", "train=2,dev=1") == 0
    place = tmp_path / "set" / "wav16k" / "max" / "train"
    assert {path.name for path in place.iterdir()} == {"mix_clean", "s1", "s2", "s3"}
    name = next((place / "mix_clean").iterdir()).name
    mixture, rate_hz = soundfile.read(place / "mix_clean" / name)
    assert rate_hz == 16_000
    voices = [soundfile.read(place / f"s{i}" / name)[0] for i in (1, 2, 3)]
    assert not np.allclose(mixture, sum(voices), atol=1e-2)
    assert max(np.abs(part).max() for part in (mixture, *voices)) == pytest.approx(0.9, abs=1e-3)


def test_one_voice_with_noise_is_a_set_for_enhancement(home: Path, tmp_path: Path):
    call = ["--voices", "1", "--noise", str(home / "noise"), "--splits", SPLITS, "--count", "train=2,dev=1"]
    assert mix(home, tmp_path / "set", *call) == 0
    assert {path.name for path in (tmp_path / "set" / "wav8k" / "min" / "dev").iterdir()} == {
        "mix_clean", "mix_both", "mix_single", "s1", "noise",
    }  # fmt: skip


def test_a_missing_recording_is_told_and_the_other_mixtures_are_made(home: Path, made: Path, tmp_path: Path, capsys):
    table = tmp_path / "libri2mix_dev.csv"
    head, row, *rest = (made / "metadata" / "libri2mix_dev.csv").read_text().splitlines()
    gone = re.sub(r"[^,]*\.flac", "dev-x/gone.flac", row, count=1)
    table.write_text("\n".join([head, gone, *rest]) + "\n")
    assert main([str(table), "--out", str(tmp_path / "set"), "--root", str(home / "LibriSpeech")]) == 0
    printed = capsys.readouterr()
    assert "1 made, 0 there before, 1 left out" in printed.out
    assert "gone.flac: cannot be opened" in printed.err


def test_where_nothing_can_be_made_the_command_fails(home: Path, made: Path, tmp_path: Path):
    assert main([str(made), "--out", str(tmp_path / "set"), "--root", str(home)]) == 1


def test_another_set_is_not_overwritten(home: Path, made: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"holds another set of mixtures \(.*count: train=5,dev=2, now 9"):
        mix(home, made, "--splits", SPLITS, "--count", "9")
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="holds files that are no set of mixtures"):
        mix(home, tmp_path, "--splits", SPLITS)
    assert json.loads((made / "mix.json").read_text())["count"] == "train=5,dev=2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--voices", "1"], "leaves nothing to separate"),
        (["--rooms", "0.5,0.1"], "expected 0 < LOW <= HIGH"),
        (["--rooms", "long"], "expected two times in seconds"),
        (["--count", "many"], "expected a number, or NAME=N"),
        (["--count", "train=5"], "'dev' is not in both --count and --splits"),
        (["--splits", "train"], "expected NAME=VALUE"),
        (["--splits", "train=train-x,dev=train-x"], "speaker 11 is in train and in dev"),
        (["--splits", "train=0,dev=1"], "must be numbers above 0"),
        (["--voices", "5"], "too few for mixtures of 5"),
        (["--shortest", "60"], "no utterance of 60 s in a speaker's folder"),
        (["--shortest", "-1"], "--shortest -1: expected seconds"),
        (["--shortest", "nan"], "--shortest nan: expected seconds"),
        (["--count", "0", "--splits", "train=1"], "asks for no mixture"),
        (["--count", "-4", "--splits", "train=1"], "cannot be negative"),
        (["--splits", "train=inf,dev=1"], "must be numbers above 0"),
        (["--splits", "a/b=1"], "'a/b' cannot name a folder"),
        (["--splits", "train=1,dev=1", "--voices", "4"], r"7 speaker\(s\) .* too few for mixtures of 4 in 2 split"),
        (["--target", "reverberant"], "--target: no effect without a room; give --rooms"),
        (["--root", "x"], "--root: no effect on new mixtures"),
        (["--noise", "nowhere"], "nowhere is no folder; expected one of noises"),
        (["--rate", "8"], "--rate 8: expected samples per second"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str, home: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=message):
        mix(home, tmp_path / "set", *arguments)


def test_a_source_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(ConfigError, match="nowhere is no folder; expected one of voices"):
        main(["nowhere", "--out", str(tmp_path / "set")])


def test_a_set_is_not_put_among_its_recordings_or_in_a_file(home: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="whose recordings it would join"):
        mix(home, home / "LibriSpeech" / "set", "--splits", SPLITS)
    assert not (home / "LibriSpeech" / "set").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="file is a file; a set is a folder"):
        mix(home, tmp_path / "file", "--splits", SPLITS)
    assert (tmp_path / "file").read_text() == "mine"


def test_each_split_gets_as_many_speakers_as_a_mixture_has_voices(home: Path, tmp_path: Path):
    assert mix(home, tmp_path / "set", "--splits", "train=0.8,dev=0.1,test=0.1", "--count", "train=1,dev=1,test=1") == 0
    assert len(list((tmp_path / "set").rglob("mix_clean/*.wav"))) == 3


def test_a_silent_recording_is_told_and_is_in_no_mixture(tmp_path: Path, capsys):
    voices = tmp_path / "voices"
    write_tree(voices, [Cast("train", "train-x", 11, 2, 1, (0.5, 0.8))], 16_000, 0)
    write_flac(voices / "train-x" / "99" / "1" / "99-1-0000.flac", np.zeros(16_000, np.float32), 16_000)
    call = [str(voices), "--out", str(tmp_path / "set"), "--splits", "train=1", "--count", "3", "--shortest", "0.3"]
    assert main(call) == 0
    assert "99-1-0000.flac: says nothing: all of it is silent" in capsys.readouterr().err
    listed = (tmp_path / "set" / "metadata" / "libri2mix_train.csv").read_text()
    assert "99-1-0000" not in listed
    assert len(listed.splitlines()) == 2


def test_a_target_without_a_room_in_the_lists_is_refused_and_claims_nothing(made: Path, home: Path, tmp_path: Path):
    call = [str(made), "--out", str(tmp_path / "set"), "--root", str(home / "LibriSpeech")]
    with pytest.raises(ConfigError, match="no listed mixture is in a room"):
        main([*call, "--target", "direct"])
    assert not (tmp_path / "set").exists()


def test_what_a_set_was_made_with_and_no_longer_is_is_named(home: Path, made: Path):
    with pytest.raises(ConfigError, match=r"\(noise: .*noise, now none\)"):
        mix(home, made, "--splits", SPLITS, "--count", "train=5,dev=2")


def test_too_few_speakers_of_any_split_are_told_before_anything_is_made(home: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="dev: mixtures of 4 voices need as many speakers, got 3"):
        mix(home, tmp_path / "set", "--splits", SPLITS, "--voices", "4", "--count", "train=1,dev=1")
    assert not (tmp_path / "set").exists()


def test_options_without_an_effect_on_lists_are_refused(made: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"--voices, --seed: no effect on listed mixtures"):
        main([str(made), "--out", str(tmp_path / "set"), "--root", "x", "--voices", "2", "--seed", "1"])
    with pytest.raises(ConfigError, match="give it with --root DIR"):
        main([str(made), "--out", str(tmp_path / "set")])


def test_fewer_noises_than_splits_are_shared_and_own_folders_are_used(home: Path, tmp_path: Path, capsys):
    noise = tmp_path / "noise"
    for name in ("train", "dev"):
        write_flac(noise / name / f"{name}.flac", coloured_noise(1.0, 16_000, 1.0, 1), 16_000)
    call = ["--splits", SPLITS, "--count", "train=2,dev=1", "--noise"]
    mix(home, tmp_path / "own", *call, str(noise))
    assert "dev/dev.flac" in (tmp_path / "own" / "metadata" / "libri2mix_dev.csv").read_text()
    mix(home, tmp_path / "shared", *call, str(noise / "dev"))
    assert "1 noise(s), so the splits share them" in capsys.readouterr().err


@pytest.mark.real
def test_the_mini_lists_give_their_reference_numbers(data_root: Path, tmp_path: Path, capsys):
    speech = data_root / "speech"
    roots = [
        "--root",
        str(speech / "librispeech_mini" / "LibriSpeech"),
        "--noise",
        str(speech / "speech_commands_noise"),
    ]
    table = speech / "libri2mix_mini" / "metadata" / "libri2mix_test.csv"
    assert main([str(table), "--out", str(tmp_path / "set"), *roots]) == 0
    found = re.search(r"mix_clean (-?[\d.]+) dB, mix_both (-?[\d.]+) dB", capsys.readouterr().out)
    assert found
    assert float(found[1]) == pytest.approx(0.01, abs=0.011)
    # -0.50 with the resampler of the set's authors, which lets more of the noise above 4 kHz through.
    assert float(found[2]) == pytest.approx(-0.50, abs=0.06)
