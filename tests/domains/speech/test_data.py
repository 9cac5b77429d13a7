"""From a configuration to items: the twins of all sets, what is wrong with them, and the real ones."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from armillary.core.domain import SPLITS, Item, Items, ReadOptions, Split
from armillary.core.errors import ConfigError, DataError
from armillary.domains.speech.data import datasets, items, uses
from armillary.domains.speech.dynamic_items import DynamicItems
from armillary.domains.speech.items import DrawnItems, MixtureItems, WindowItems
from armillary.domains.speech.read import read
from armillary.domains.speech.settings import SpeechData, SpeechPredict, SpeechRun
from armillary.domains.speech.simulate import simulate
from armillary.domains.speech.systems.settings import ConvTasNetSettings

CARDS = (
    "simulated_voices", "libri2mix_mini", "librispeech_mini", "speech_commands_noise", "fsdd_subset", "librimix",
    "wsj0_mix", "wham", "whamr",
)  # fmt: skip
# Longer than the twin's utterances, so that nothing is cut by chance.
DYNAMIC = {"mixtures": 5}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("data")
    return {card: simulate(card, root, 0, "twin") for card in CARDS}


def configured(card: str, rate: int = 8000, **told: Any) -> SpeechRun:
    return SpeechRun(
        recipe="speech/x",
        data=SpeechData(card=card, sample_rate_hz=rate, **told),
        model=ConvTasNetSettings(),
        predict=SpeechPredict(sample_rate_hz=rate),
    )


def split(config: SpeechRun, folders: Mapping[str, Path], name: Split) -> Items:
    return datasets(config, {card: folders[card] for card in uses(config)}, name)


def sound(item: Item, voices: int) -> None:
    """An item is what the contract says."""
    assert item["mixture"].dtype == item["sources"].dtype == np.float32
    assert item["sources"].shape == (voices, len(item["mixture"]))
    assert np.isfinite(item["mixture"]).all()
    assert item["sources"].any(1).all()


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("card", ["simulated_voices", "libri2mix_mini", "librimix", "wham", "whamr"])
def test_every_split_of_a_twin_gives_mixtures_and_tells_its_broken_item(
    card: str, noise: bool, twins: Mapping[str, Path]
):
    config = configured(card, noise=noise)
    told: list[DataError] = []
    for name in SPLITS:
        found = split(config, twins, name)
        assert isinstance(found, MixtureItems)
        assert len(found) > 0
        assert len(set(found.ids)) == len(found)
        told += found.problems
        item = found[(0, 0)]
        sound(item, 2)
        assert len(item["mixture"]) == found.mixtures.lengths[0]
        residual = item["mixture"] - item["sources"].sum(0)
        assert (np.abs(residual).max() > 1e-3) == noise
    assert told
    assert all(problem.card == card and problem.path is not None for problem in told)


def test_wsj0_mix_validates_on_the_voices_of_training_and_tests_on_others(twins: Mapping[str, Path]):
    parts = {name: split(configured("wsj0_mix"), twins, name) for name in SPLITS}
    speakers = {name: set(part.known["speakers"].ravel()) for name, part in parts.items()}
    assert speakers["validation"] & speakers["train"]
    assert not speakers["test"] & (speakers["train"] | speakers["validation"])
    assert set(parts["test"].known["sexes"].ravel()) <= {"F", "M"}
    with pytest.raises(ConfigError, match=r"expected .* to have the folders mix_both"):
        split(configured("wsj0_mix", noise=True), twins, "train")


def test_the_voices_of_whamr_are_without_the_room_of_the_mixture(twins: Mapping[str, Path]):
    dry = split(configured("whamr"), twins, "test")[(0, 0)]
    wet = split(configured("whamr", reverberant=True), twins, "test")[(0, 0)]
    np.testing.assert_array_equal(dry["sources"], wet["sources"])
    assert np.abs(dry["mixture"] - dry["sources"].sum(0)).max() < 1e-5
    assert np.abs(wet["mixture"] - wet["sources"].sum(0)).max() > 1e-2


def test_three_voices_come_from_the_lists_of_three(twins: Mapping[str, Path]):
    found = split(configured("simulated_voices", voices=3), twins, "validation")
    sound(found[(0, 0)], 3)
    assert found.known["speakers"].shape == (len(found), 3)


def test_one_voice_with_noise_is_the_first_of_two(twins: Mapping[str, Path]):
    for card in ("simulated_voices", "wham"):
        both = split(configured(card), twins, "test")[(0, 0)]
        one = split(configured(card, voices=1, noise=True), twins, "test")[(0, 0)]
        sound(one, 1)
        count = min(len(one["mixture"]), len(both["mixture"]))
        assert_allclose(one["sources"][0, :count], both["sources"][0, :count])


def test_lists_at_another_rate_are_the_same_sound(twins: Mapping[str, Path]):
    slow = split(configured("libri2mix_mini"), twins, "test")
    fast = split(configured("libri2mix_mini", rate=16000), twins, "test")
    assert isinstance(slow, MixtureItems)
    assert isinstance(fast, MixtureItems)
    assert_allclose(slow.seconds, fast.seconds, atol=1e-4)
    power = [np.square(one[(0, 0)]["mixture"]).mean() for one in (slow, fast)]
    assert 0.3 < power[0] / power[1] < 1.1


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("card", ["simulated_voices", "libri2mix_mini", "wham"])
def test_training_can_mix_the_voices_of_a_set_anew(card: str, noise: bool, twins: Mapping[str, Path]):
    config = configured(card, noise=noise, dynamic=DYNAMIC, segment_s=0.2)
    found = split(config, twins, "train")
    assert isinstance(found, DynamicItems)
    assert len(found) == 5
    sound(found[(1, 0)], 2)
    assert found[(1, 0)]["mixture"].shape == (1600,)
    assert isinstance(split(config, twins, "validation"), MixtureItems)


@pytest.mark.parametrize("card", ["librispeech_mini", "fsdd_subset"])
def test_a_set_of_voices_is_tested_on_mixtures_that_stay_the_same(card: str, twins: Mapping[str, Path]):
    config = configured(card, dynamic={**DYNAMIC, "speed": (0.9, 1.1), "reverse": 0.5})
    train, test = (split(config, twins, name) for name in ("train", "test"))
    assert isinstance(train, DynamicItems)
    assert train.problems
    assert isinstance(test, DrawnItems)
    sound(test[(0, 3)], 2)
    assert len(test[(0, 3)]["mixture"]) == test.lengths[3]
    assert {"+".join(sorted(names)) for names in test.known["speakers"].tolist()} == set(test.groups)
    again = split(config.model_copy(update={"seed": 9}), twins, "test")
    np.testing.assert_array_equal(again[(2, 3)]["mixture"], test[(0, 3)]["mixture"])
    if card == "librispeech_mini":
        validation = split(config, twins, "validation")
        assert not set(validation.groups) & set(test.groups)


def test_a_set_of_voices_needs_dynamic_mixing(twins: Mapping[str, Path]):
    with pytest.raises(ConfigError, match=r"librispeech_mini lists no mixtures of 2 voice\(s\); set data\.dynamic"):
        split(configured("librispeech_mini"), twins, "train")
    with pytest.raises(ConfigError, match=r"libri2mix_mini lists no mixtures of 3 voice\(s\)"):
        split(configured("libri2mix_mini", voices=3), twins, "train")


def test_a_run_uses_its_own_card_and_those_of_its_voices_and_noises():
    assert uses(configured("libri2mix_mini")) == ("libri2mix_mini", "librispeech_mini")
    noisy = ("libri2mix_mini", "librispeech_mini", "speech_commands_noise")
    assert uses(configured("libri2mix_mini", noise=True)) == noisy
    assert uses(configured("fsdd_subset", noise=True)) == ("fsdd_subset", "speech_commands_noise")
    assert uses(configured("wham", noise=True)) == ("wham",)


def test_what_is_missing_is_said(twins: Mapping[str, Path], tmp_path: Path):
    empty = dict.fromkeys(("libri2mix_mini", "librispeech_mini", "wham"), tmp_path)
    with pytest.raises(DataError, match="holds no voices that are known"):
        split(configured("wham", dynamic=DYNAMIC), empty, "train")
    with pytest.raises(DataError, match="holds no voices for the lists of libri2mix_mini"):
        split(configured("libri2mix_mini"), {**twins, "librispeech_mini": tmp_path}, "train")
    with pytest.raises(ConfigError, match="have no reverberation"):
        split(configured("libri2mix_mini", reverberant=True), twins, "train")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "libri2mix_train.csv").write_text(
        "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain\na,x.flac,1,y.flac,1\n"
    )
    with pytest.raises(DataError, match=r"no mixtures of train can be used[\s\S]*The first of 1 problem.*x\.flac"):
        split(configured("libri2mix_mini"), {**twins, "libri2mix_mini": tmp_path}, "train")
    with pytest.raises(DataError, match="has no mixtures of test; it has those of train\n"):
        split(configured("libri2mix_mini"), {**twins, "libri2mix_mini": tmp_path}, "test")
    (tmp_path / "LibriSpeech" / "a").mkdir(parents=True)


def test_lists_that_are_not_there_are_said(twins: Mapping[str, Path], tmp_path: Path):
    # Nothing is drawn in their place: it would be another test under the same name.
    folders = {**twins, "libri2mix_mini": tmp_path}
    for name in SPLITS:
        with pytest.raises(DataError, match=r"holds no lists of mixtures\n  Expected metadata/libri2mix_train\.csv"):
            split(configured("libri2mix_mini", dynamic=DYNAMIC), folders, name)
    three = split(configured("libri2mix_mini", voices=3, dynamic=DYNAMIC), twins, "test")
    assert isinstance(three, DrawnItems)


def test_a_split_tells_the_problems_of_its_own_rows_alone(twins: Mapping[str, Path], tmp_path: Path):
    shutil.copytree(twins["libri2mix_mini"], tmp_path / "lists")
    table = tmp_path / "lists" / "metadata" / "libri2mix_test.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *(row.replace(",", ",/", 1) for row in rows[:1]), *rows[1:]]))
    folders = {**twins, "libri2mix_mini": tmp_path / "lists"}
    told = {name: [str(one) for one in split(configured("libri2mix_mini"), folders, name).problems] for name in SPLITS}
    before = {name: split(configured("libri2mix_mini"), twins, name).problems for name in SPLITS}
    assert {name: len(told[name]) - len(before[name]) for name in SPLITS} == {"train": 0, "validation": 0, "test": 1}
    assert any("libri2mix_test.csv:2[" in problem and "is no path below" in problem for problem in told["test"])


def test_a_missing_tree_of_voices_is_told_with_the_card_it_belongs_to(twins: Mapping[str, Path], tmp_path: Path):
    folders = {
        "libri2mix_mini": twins["libri2mix_mini"],
        "librispeech_mini": tmp_path,
        "speech_commands_noise": tmp_path,
    }
    with pytest.raises(DataError, match=r"librispeech_mini: .*: holds no voices for the lists of libri2mix_mini"):
        split(configured("libri2mix_mini"), folders, "train")


def test_voices_that_cannot_be_read_are_told_where_none_is_left(twins: Mapping[str, Path], tmp_path: Path):
    home = shutil.copytree(twins["librispeech_mini"], tmp_path / "voices")
    for path in home.rglob("*.flac"):
        path.unlink()
    with pytest.raises(
        DataError, match=r"no voices of train can be used\n  The first of \d+ problem.*cannot be opened"
    ):
        split(configured("librispeech_mini", dynamic=DYNAMIC), {"librispeech_mini": home}, "train")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"dynamic": {"speed": (2, 1)}}, "expected a lower and a higher number, got 2 and 1"),
        ({"dynamic": {"loudness_lufs": (-20, -30)}}, "got -20 and -30"),
        ({"dynamic": {"room": {"rt60_s": (0.5, 0.1)}}}, "got 0.5 and 0.1"),
        ({"sample_rate_hz": 10}, "greater than or equal to 1000"),
    ],
)
def test_ranges_and_rates_that_make_no_sense_are_configuration_errors(told: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        SpeechData.model_validate({"card": "wham", **told})


@pytest.mark.parametrize("scores", [(), ("stoi",)])
def test_scores_without_the_one_that_runs_are_compared_by_are_refused(scores: tuple[str, ...]):
    predict = SpeechPredict.model_validate({"scores": scores})
    with pytest.raises(ValueError, match=r"lacks si_sdr, by which runs are compared; add it"):
        SpeechRun(recipe="speech/x", data=SpeechData(card="wham"), model=ConvTasNetSettings(), predict=predict)


def test_windows_of_files_become_items_at_the_rate_of_the_model(twins: Mapping[str, Path]):
    chunk = next(read([twins["wham"] / "wav8k" / "min" / "tt" / "s1"], ReadOptions([].append)))
    found = items(configured("wham"), chunk)
    assert isinstance(found, WindowItems)
    assert len(found) == chunk.sizes["item"]
    with pytest.raises(DataError, match=r"windows at 8000 Hz, the model was trained at 16000 Hz\n  Read files"):
        items(configured("wham", rate=16000), chunk)


def test_reading_a_twin_tells_its_broken_file_and_gives_the_others(twins: Mapping[str, Path]):
    problems: list[DataError] = []
    chunks = list(read([twins["simulated_voices"]], ReadOptions(problems.append)))
    assert problems
    assert all(problem.path is not None for problem in problems)
    assert sum(chunk.sizes["item"] for chunk in chunks) > 10


def test_files_at_another_rate_than_the_model_are_a_configuration_error():
    with pytest.raises(ValueError, match=r"predict\.sample_rate_hz=8000 differs from data\.sample_rate_hz=16000"):
        SpeechRun(recipe="speech/x", data=SpeechData(card="wham", sample_rate_hz=16000), model=ConvTasNetSettings())


def test_pesq_at_a_rate_that_it_has_not_is_a_configuration_error():
    told = {"card": "wham", "sample_rate_hz": 11025}
    predict = SpeechPredict(sample_rate_hz=11025, scores=("si_sdr", "pesq"))
    with pytest.raises(
        ValueError, match=r"pesq, which is defined at 8000 and 16000 Hz, and data\.sample_rate_hz is 11025"
    ):
        SpeechRun(recipe="speech/x", data=SpeechData(**told), model=ConvTasNetSettings(), predict=predict)


def si_sdr_db(estimate: np.ndarray, target: np.ndarray) -> float:
    """By its definition, apart from the metric's code."""
    estimate, target = estimate - estimate.mean(), target - target.mean()
    aim = (estimate @ target) / (target @ target) * target
    return float(10 * np.log10((aim @ aim) / ((estimate - aim) @ (estimate - aim))))


@pytest.fixture(scope="module")
def real(data_root: Path) -> Mapping[str, Path]:
    folders = {card: data_root / "speech" / card for card in CARDS if (data_root / "speech" / card).is_dir()}
    if "libri2mix_mini" not in folders:
        pytest.skip("no libri2mix_mini below ARMILLARY_DATA")
    return folders


@pytest.mark.real
@pytest.mark.parametrize(("noise", "mean", "deviation"), [(False, 0.01, 4.1), (True, -0.50, 3.9)])
def test_the_test_list_has_the_levels_that_its_makers_measured(
    noise: bool, mean: float, deviation: float, real: Mapping[str, Path]
):
    found = split(configured("libri2mix_mini", noise=noise), real, "test")
    assert isinstance(found, MixtureItems)
    assert (len(found), list(found.problems)) == (102, [])
    assert found.seconds.mean() == pytest.approx(5.9, abs=0.05)
    mixtures = (found[(0, index)] for index in range(len(found)))
    ratios = [[si_sdr_db(one["mixture"], source) for source in one["sources"].astype(float)] for one in mixtures]
    # They resample with a wider filter: noise near 4 kHz, which ours takes away, is 0.04 dB of the noisy mean.
    assert np.mean(ratios) == pytest.approx(mean, abs=0.05)
    assert np.std(ratios) == pytest.approx(deviation, abs=0.05)


@pytest.mark.real
def test_the_real_splits_share_no_reader_and_lose_no_mixture(real: Mapping[str, Path]):
    parts = {name: split(configured("libri2mix_mini"), real, name) for name in SPLITS}
    assert {name: len(part) for name, part in parts.items()} == {"train": 312, "validation": 60, "test": 102}
    assert not any(part.problems for part in parts.values())
    sexes = ["".join(sorted(pair)) for pair in parts["test"].known["sexes"].tolist()]
    assert {pair: sexes.count(pair) for pair in set(sexes)} == {"FF": 19, "FM": 62, "MM": 21}


@pytest.mark.real
def test_real_voices_are_mixed_anew(real: Mapping[str, Path]):
    for card, lengths in (("librispeech_mini", (3, 20)), ("fsdd_subset", (2, 6))):
        if card in real:
            config = configured(card, noise=True, dynamic={"mixtures": 4})
            sound(split(config, real, "train")[(1, 0)], 2)
            test = split(config, real, "test")
            assert isinstance(test, DrawnItems)
            assert not test.problems
            assert lengths[0] < test.lengths.mean() / 8000 < lengths[1]
