"""No speaker in two splits, and the sentences of the report."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.domains.speech.readers.mixtures import Listed, Part
from armillary.domains.speech.readers.recordings import Recording
from armillary.domains.speech.settings import SpeechData, SpeechRun
from armillary.domains.speech.splits import apart, protocol
from armillary.domains.speech.systems.settings import ConvTasNetSettings

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PAIRS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=8)


def mixture(*speakers: str) -> Listed:
    return Listed("-".join(speakers), (Part(Path("a.wav")),) * len(speakers), speakers=speakers)


def kept(
    splits: dict[Split, list[Listed]], split: Split, shares: bool = False, problems: list[DataError] | None = None
) -> list[str]:
    report = [].append if problems is None else problems.append
    return [one.id for one in apart(splits, split, shares, Path("data"), "card", report)]


@settings(max_examples=50)
@given(PAIRS, PAIRS, PAIRS)
def test_no_speaker_is_left_in_two_splits(train: list, validation: list, test: list):
    splits: dict[Split, list[Listed]] = {
        name: [mixture(*pair) for pair in pairs] for name, pairs in zip(SPLITS, (train, validation, test), strict=True)
    }
    speakers = [set("-".join(kept(splits, name)).replace("-", "")) for name in SPLITS]
    assert not speakers[2] & speakers[1]
    assert not speakers[2] & speakers[0]
    assert not {name for pair in validation for name in pair} & speakers[0]
    assert len(kept(splits, "test")) == len(test)


def test_what_is_left_out_is_told_once_with_the_speaker():
    splits: dict[Split, list[Listed]] = {
        "train": [mixture("a", "b"), mixture("b", "c"), mixture("c", "d")], "test": [mixture("b", "x")],
    }  # fmt: skip
    problems: list[DataError] = []
    assert kept(splits, "train", problems=problems) == ["c-d"]
    assert len(problems) == 1
    assert "card: data[a-b]: 2 of 3 of train have speakers of another split: 'b' of test" in str(problems[0])


def test_of_many_speakers_that_are_left_out_the_first_are_named():
    splits: dict[Split, list[Listed]] = {"train": [mixture(name) for name in "abcdefg"], "test": [mixture(*"abcdefg")]}
    problems: list[DataError] = []
    assert kept(splits, "train", problems=problems) == []
    assert "'a' of test, 'b' of test, 'c' of test, 'd' of test, 'e' of test and 2 more" in problems[0].problem


def test_sets_that_validate_on_training_voices_keep_them_but_not_those_of_the_test():
    splits: dict[Split, list[Listed]] = {
        "train": [mixture("a", "b"), mixture("c", "d")], "validation": [mixture("a", "d")], "test": [mixture("c", "x")],
    }  # fmt: skip
    assert kept(splits, "train", shares=True) == ["a-b"]
    assert kept(splits, "validation", shares=True) == ["a-d"]
    assert kept(splits, "train") == []


def test_speakers_that_are_not_known_are_in_no_ones_way():
    nameless = [Recording("r", "", (Path("a.wav"),))]
    splits: dict[Split, list[Recording]] = {"train": nameless, "test": nameless}
    assert len(apart(splits, "train", False, Path("data"), "card", [].append)) == 1


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"card": "libri2mix_mini"}, ["Mixtures of 2 voices of libri2mix_mini at 8000 Hz, cut to the shortest voice"]),
        ({"card": "wham", "noise": True, "voices": 1}, ["one voice and noise", "validation has other mixtures of the"]),
        ({"card": "whamr", "reverberant": True, "mode": "max"}, ["in rooms", "padded to the longest voice (max)"]),
        (
            {"card": "librimix", "segment_s": None, "noise": True},
            ["2 voices with noise", "is on whole mixtures of the"],
        ),
        ({"card": "fsdd_subset", "dynamic": {"mixtures": 70}}, ["70 mixtures an epoch", "clips of the same speakers"]),
    ],
)
def test_the_report_says_what_trains_and_what_is_tested(told: dict, words: list[str]):
    text = protocol(SpeechRun(recipe="speech/x", data=SpeechData(**told), model=ConvTasNetSettings()))
    for word in words:
        assert word in text
    assert "  " not in text
