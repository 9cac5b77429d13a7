"""Sets of mixtures on disk: lists of LibriMix, and folders as the scripts of WSJ0-mix, WHAM! and WHAMR! write them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from armillary.core.errors import ConfigError, DataError
from armillary.domains.speech.readers.dataset import MixtureSet, voice_recordings
from armillary.domains.speech.readers.librimix import lists_of, read_list
from armillary.domains.speech.readers.mixture_folders import find_folder, read_mixture_folder, sexes_below
from armillary.domains.speech.readers.mixtures import Gathering, Listed, Mixtures, Part
from armillary.domains.speech.settings import SpeechData


def write(path: Path, samples: int = 400, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, str(path.name)))
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(samples), rate)
    return path


def data(**told: Any) -> SpeechData:
    return SpeechData(card="some", **told)


def gathered(
    listed: list[Listed], problems: list[DataError], rate: int = 8000, mode: Any = "min", k: int = 2
) -> Mixtures:
    return Gathering(rate, mode, problems.append, "card").table(listed, k)


# Lists of LibriMix ------------------------------------------------------------


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    for name, samples in (("1-1-0000", 900), ("2-1-0000", 801), ("3-1-0000", 700)):
        write(tmp_path / "voices" / f"{name}.flac", samples, 16000)
    write(tmp_path / "noises" / "n.wav", 500, 16000)
    (tmp_path / "metadata").mkdir()
    return tmp_path


HEADER = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain"


def listed(folder: Path, rows: str, num_voices: int = 2, noise: bool = True, header: str = HEADER) -> tuple[Any, Any]:
    path = folder / "metadata" / "libri2mix_dev-clean.csv"
    path.write_text(f"{header}\n{rows}")
    problems: list[DataError] = []
    noises = folder / "noises" if noise else None
    return list(read_list(path, num_voices, folder / "voices", noises, problems.append, "card")), problems


def test_a_row_of_a_list_tells_files_gains_and_readers(lists: Path):
    header = f"{HEADER},noise_start"
    found, problems = listed(lists, "m,1-1-0000.flac,0.5,2-1-0000.flac,2,n.wav,4,100\n", header=header)
    assert not problems
    assert found[0].voices == (
        Part(lists / "voices" / "1-1-0000.flac", 0.5), Part(lists / "voices" / "2-1-0000.flac", 2.0),
    )  # fmt: skip
    assert found[0].noise == Part(lists / "noises" / "n.wav", 4.0, 100)
    assert (found[0].speakers, found[0].group) == (("1", "2"), "1+2")
    assert listed(lists, "m,1-1-0000.flac,0.5,2-1-0000.flac,2,n.wav,4\n", noise=False)[0][0].noise is None


def test_a_table_beside_the_list_tells_sexes(lists: Path):
    (lists / "metadata" / "libri2mix_dev-clean_info.csv").write_text(
        "mixture_ID,speaker_1_ID,speaker_1_sex,speaker_2_ID,speaker_2_sex\nm,7.0,F,8,M\n"
    )
    rows = "m,1-1-0000.flac,1,2-1-0000.flac,1,n.wav,1\no,1-1-0000.flac,1,2-1-0000.flac,1,n.wav,1\n"
    found, _ = listed(lists, rows)
    assert [(one.speakers, one.sexes) for one in found] == [(("7", "8"), ("F", "M")), (("1", "2"), ())]


def test_one_voice_is_the_first_of_the_list(lists: Path):
    found, _ = listed(lists, "m,1-1-0000.flac,0.5,2-1-0000.flac,2,n.wav,4\n", num_voices=1)
    assert [part.path.name for part in found[0].voices] == ["1-1-0000.flac"]


def test_a_list_of_another_number_of_voices_is_refused(lists: Path):
    with pytest.raises(ConfigError, match=r"data.voices=3, but .* lists mixtures of 2; set data.voices=2"):
        listed(lists, "m,1-1-0000.flac,0.5,2-1-0000.flac,2,n.wav,4\n", num_voices=3)


def test_rows_that_cannot_be_read_are_told_and_the_others_stay(lists: Path):
    rows = (
        "a,1-1-0000.flac,loud,2-1-0000.flac,2,n.wav,4\nb,/etc/passwd,1,2-1-0000.flac,2,n.wav,4\nc\n"
        "d,1-1-0000.flac,1,2-1-0000.flac,2,n.wav,4\n"
    )
    found, problems = listed(lists, rows)
    assert [one.id for one in found] == ["d"]
    assert [(problem.row, problem.item, problem.card) for problem in problems] == [
        (2, "a", "card"), (3, "b", "card"), (4, "c", "card"),
    ]  # fmt: skip


def test_a_name_that_comes_again_is_told_and_used_once(lists: Path):
    found, problems = listed(
        lists, "m,1-1-0000.flac,1,2-1-0000.flac,1,n.wav,1\nm,1-1-0000.flac,2,3-1-0000.flac,1,n.wav,1\n"
    )
    assert [one.voices[0].gain for one in found] == [1.0]
    assert [(problem.row, problem.problem) for problem in problems] == [(3, "has a name that was there before")]


@pytest.mark.parametrize("gain", ["0", "0.0", "1e30", "-1e7"])
def test_a_gain_that_leaves_nothing_to_hear_is_told(gain: str, lists: Path):
    found, problems = listed(lists, f"m,1-1-0000.flac,{gain},2-1-0000.flac,1,n.wav,1\n")
    assert found == []
    assert "source_1_gain is" in problems[0].problem
    assert "expected a factor that leaves a voice to hear" in problems[0].problem


def test_a_missing_gain_column_is_an_error_of_the_list(lists: Path):
    with pytest.raises(DataError, match=r"csv:1: has no column source_2_gain; it has .*gain_2"):
        listed(lists, "m,1-1-0000.flac,1,2-1-0000.flac,1\n", noise=False,
               header="mixture_ID,source_1_path,source_1_gain,source_2_path,gain_2")  # fmt: skip


def test_an_empty_list_is_told(lists: Path):
    with pytest.raises(DataError, match=r"dev-clean\.csv: is empty\n  Expected the columns mixture_ID"):
        listed(lists, "", header="")


def test_lists_are_found_by_split_and_number_of_voices(tmp_path: Path):
    for name in ("2mix_train-clean-100", "2mix_train-clean-360", "2mix_dev-clean", "2mix_dev-clean_info", "3mix_test"):
        (tmp_path / "metadata").mkdir(exist_ok=True)
        (tmp_path / "metadata" / f"libri{name}.csv").write_text("")
    found = lists_of(tmp_path, 2)
    assert {split: [path.stem for path in paths] for split, paths in found.items()} == {
        "train": ["libri2mix_train-clean-100", "libri2mix_train-clean-360"], "validation": ["libri2mix_dev-clean"],
    }  # fmt: skip
    assert lists_of(tmp_path, 1) == found
    assert list(lists_of(tmp_path, 3)) == ["test"]
    assert lists_of(tmp_path / "metadata", 2) == found
    assert lists_of(tmp_path, 4) == {}


@pytest.mark.parametrize(("mode", "length"), [("min", 401), ("max", 450)])
def test_lengths_of_a_listed_mixture_follow_its_voices_alone(lists: Path, mode: str, length: int):
    found, problems = listed(lists, "m,1-1-0000.flac,1,2-1-0000.flac,1,n.wav,1\n")
    table = gathered(found, problems, mode=mode)
    assert (table.lengths.tolist(), table.longest.tolist()) == ([length], [450])
    assert not problems


def test_mixtures_with_missing_files_are_told_with_card_and_item(lists: Path):
    rows = "a,1-1-0000.flac,1,9-1-0000.flac,1,n.wav,1\nb,1-1-0000.flac,1,2-1-0000.flac,1,x.wav,1\n"
    found, problems = listed(lists, f"{rows}c,1-1-0000.flac,1,3-1-0000.flac,1,n.wav,1\n")
    table = gathered(found, problems)
    assert table.ids.tolist() == ["c"]
    assert [str(problem).splitlines()[0] for problem in problems] == [
        f"card: {lists}/voices/9-1-0000.flac[a]: cannot be opened (No such file or directory)",
        f"card: {lists}/noises/x.wav[b]: cannot be opened (No such file or directory)",
    ]
    without_noise, _ = listed(lists, rows, noise=False)
    assert gathered(without_noise, problems).ids.tolist() == ["b"]


def test_a_noise_that_begins_behind_its_end_is_told(lists: Path):
    header = f"{HEADER},noise_start"
    found, problems = listed(lists, "m,1-1-0000.flac,1,2-1-0000.flac,1,n.wav,1,500\n", header=header)
    assert len(gathered(found, problems)) == 0
    assert "begins at sample 500; expected 0 to the end of the 500 samples" in str(problems[0])


def test_a_mixture_of_several_rates_is_told(tmp_path: Path):
    slow, fast = write(tmp_path / "a.wav", rate=8000), write(tmp_path / "b.wav", rate=16000)
    problems: list[DataError] = []
    assert len(gathered([Listed("m", (Part(slow), Part(fast)))], problems)) == 0
    assert "b.wav[m]: is at 16000 Hz, a.wav of the same mixture at 8000 Hz" in str(problems[0])


# Folders of finished mixtures -------------------------------------------------


def wsj(root: Path, kinds: tuple[str, ...], stem: str = "01aa0101_1.2_01bb0202_-1.2") -> Path:
    for kind in kinds:
        write(root / kind / f"{stem}.wav")
    return root


def test_folders_of_wsj0_mix_are_found_and_read(tmp_path: Path):
    for split in ("tr", "cv", "tt"):
        wsj(tmp_path / "2speakers" / "wav8k" / "min" / split, ("mix", "s1", "s2"))
        wsj(tmp_path / "3speakers" / "wav8k" / "min" / split, ("mix", "s1", "s2", "s3"))
    (tmp_path / "spkrinfo.txt").write_text("01A F x\n01b M y\n;; z\n")
    place = find_folder(tmp_path, data())
    assert place is not None
    assert place.shares_voices
    assert {split: [path.name for path in paths] for split, paths in place.splits.items()} == {
        "train": ["tr"], "validation": ["cv"], "test": ["tt"],
    }  # fmt: skip
    (tr,) = place.splits["train"]
    (found,) = read_mixture_folder(tr, data(), sexes_below(tmp_path), [].append)
    assert found.mixture == tr / "mix" / f"{found.id}.wav"
    assert [part.path.parent.name for part in found.voices] == ["s1", "s2"]
    assert (found.speakers, found.sexes, found.noise) == (("01a", "01b"), ("F", "M"), None)
    three = find_folder(tmp_path, data(voices=3))
    assert three is not None
    assert "3speakers" in str(three.splits["test"][0])
    assert find_folder(tmp_path / "2speakers" / "wav8k", data()) is None


def test_a_rate_or_mode_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path):
    wsj(tmp_path / "2speakers" / "wav8k" / "min" / "tr", ("mix", "s1", "s2"))
    for told in ({"sample_rate_hz": 16000}, {"mode": "max"}, {"sample_rate_hz": 11025}):
        with pytest.raises(ConfigError, match="it has 2speakers/wav8k/min"):
            find_folder(tmp_path, data(**told))


WHAM = ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise")
WHAMR = (*(f"{kind}_{room}" for kind in WHAM[:5] for room in ("anechoic", "reverb")), "noise")


@pytest.mark.parametrize(
    ("kinds", "told", "mixture", "voices"),
    [
        (WHAM, {}, "mix_clean", ["s1", "s2"]),
        (WHAM, {"noise": True}, "mix_both", ["s1", "s2"]),
        (WHAM, {"noise": True, "voices": 1}, "mix_single", ["s1"]),
        (WHAMR, {}, "mix_clean_anechoic", ["s1_anechoic", "s2_anechoic"]),
        (WHAMR, {"noise": True}, "mix_both_anechoic", ["s1_anechoic", "s2_anechoic"]),
        (WHAMR, {"reverberant": True}, "mix_clean_reverb", ["s1_anechoic", "s2_anechoic"]),
        (WHAMR, {"reverberant": True, "noise": True}, "mix_both_reverb", ["s1_anechoic", "s2_anechoic"]),
        (WHAMR, {"reverberant": True, "noise": True, "voices": 1}, "mix_single_reverb", ["s1_anechoic"]),
    ],
)
def test_the_kind_of_mixture_is_that_of_the_settings(
    tmp_path: Path, kinds: tuple[str, ...], told: dict[str, Any], mixture: str, voices: list[str]
):
    place = wsj(tmp_path / "tr", kinds)
    (found,) = read_mixture_folder(place, data(**told), {}, [].append)
    assert found.mixture is not None
    assert found.mixture.parent.name == mixture
    assert [part.path.parent.name for part in found.voices] == voices
    assert found.noise is not None


@pytest.mark.parametrize(
    ("kinds", "told", "expected"),
    [
        (("mix", "s1", "s2"), {"noise": True}, "the folders mix_both, s1, s2; it has mix, s1, s2"),
        (WHAM, {"reverberant": True}, "the folders mix_clean_reverb, s1_anechoic, s2_anechoic; it has"),
        (("mix", "s1", "s2", "s3"), {}, "mix_clean or mix, s1, s2 alone; it has mix, s1, s2, s3"),
        (("mix", "s1"), {}, "s1, s2; it has mix, s1"),
    ],
)
def test_a_kind_that_is_not_there_is_refused(
    tmp_path: Path, kinds: tuple[str, ...], told: dict[str, Any], expected: str
):
    with pytest.raises(ConfigError, match=expected):
        list(read_mixture_folder(wsj(tmp_path / "tr", kinds), data(**told), {}, [].append))


def test_a_folder_of_mixtures_without_wav_files_tells_what_it_has(tmp_path: Path):
    for kind in ("mix_clean", "s1", "s2"):
        write(tmp_path / "tr" / kind / "a.flac")
    problems: list[DataError] = []
    assert not list(read_mixture_folder(tmp_path / "tr", data(), {}, problems.append))
    assert f"{tmp_path}/tr/mix_clean: holds no file that ends in .wav, but .flac" in str(problems[0])


def test_generated_folders_of_librimix_have_readers_and_lengths(tmp_path: Path):
    root = tmp_path / "Libri2Mix" / "wav8k" / "min"
    for split in ("train-100", "train-360", "dev", "test"):
        wsj(root / split, WHAM, "1-2-0003_4-5-0006")
        wsj(root / split, WHAM, "1-2-0004_4-5-0007")
    (root / "metadata").mkdir()
    (root / "metadata" / "mixture_dev_mix_clean.csv").write_text(
        "mixture_ID,length\n1-2-0003_4-5-0006,400\n1-2-0004_4-5-0007,401\n"
    )
    place = find_folder(tmp_path, data())
    assert place is not None
    assert not place.shares_voices
    assert [path.name for path in place.splits["train"]] == ["train-100", "train-360"]
    problems: list[DataError] = []
    found = list(read_mixture_folder(place.splits["validation"][0], data(), {"1": "M"}, problems.append))
    assert [(one.speakers, one.sexes, one.told) for one in found] == [(("1", "4"), ("M", ""), n) for n in (400, 401)]
    table = gathered(found, problems)
    assert table.lengths.tolist() == [400, 400]
    assert [str(problem).splitlines()[0] for problem in problems] == [
        f"card: {root}/dev/mix_clean/1-2-0004_4-5-0007.wav[1-2-0004_4-5-0007]: has 400 samples, its table says 401"
    ]


def test_voices_of_another_length_than_their_mixture_are_told(tmp_path: Path):
    place = wsj(tmp_path / "tr", ("mix", "s1", "s2"))
    wsj(place, ("mix", "s1"), "other")
    write(place / "s2" / "other.wav", 399)
    wsj(place, ("mix", "s1"), "third")
    problems: list[DataError] = []
    table = gathered(list(read_mixture_folder(place, data(), {}, problems.append)), problems)
    assert table.ids.tolist() == ["01aa0101_1.2_01bb0202_-1.2"]
    assert "s2/other.wav[other]: has 399 samples" in str(problems[0])
    assert "s2/third.wav[third]: cannot be opened" in str(problems[1])


def test_mixtures_without_known_speakers_are_groups_of_their_own(tmp_path: Path):
    place = wsj(tmp_path / "tr", ("mix", "s1", "s2"), "take-7")
    problems: list[DataError] = []
    table = gathered(list(read_mixture_folder(place, data(), {}, problems.append)), problems)
    assert table.groups.tolist() == ["take-7"]
    assert table.speakers.tolist() == [["", ""]]
    assert len(gathered([], problems)) == 0
    assert gathered([], problems).speakers.shape == (0, 2)


def test_speakers_of_a_set_that_was_mixed_here_are_those_of_its_tables(tmp_path: Path):
    place = wsj(tmp_path / "wav8k" / "min" / "test", ("mix_clean", "s1", "s2"), "anna-take_1_bob-take_2")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "libri2mix_test_info.csv").write_text(
        "mixture_ID,speaker_1_ID,speaker_1_sex,speaker_2_ID,speaker_2_sex\nanna-take_1_bob-take_2,anna,F,bob,M\n"
    )
    (found,) = read_mixture_folder(place, data(), {}, [].append)
    assert (found.speakers, found.sexes, found.group) == (("anna", "bob"), ("F", "M"), "anna+bob")
    voices = voice_recordings(data(), {"some": tmp_path}, MixtureSet({"test": [found]}, finished=True), [].append)
    assert [(voice.speaker, voice.sex) for voice in voices] == [("anna", "F"), ("bob", "M")]
