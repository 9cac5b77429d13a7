"""Splits by patient, and the sentences that tell them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.errors import DataError
from armillary.domains.medical import recipes
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.recipes import CXR14
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sources import RasterSource
from armillary.domains.medical.splits import check_patients, draw_splits, draw_validation, protocol
from armillary.domains.medical.studies import Study


def study(name: str, patient: str = "", split: str = "train") -> Study:
    return Study(name, RasterSource(Path(name)), patient, split)  # pyright: ignore[reportArgumentType]


def people(count: int) -> list[Study]:
    return [study(f"{patient}-{view}", f"p{patient}") for patient in range(count) for view in range(2)]


def splits_of(studies: list[Study]) -> dict[str, str]:
    return {one.id: one.split for one in studies}


def test_a_patient_in_two_splits_is_refused_with_the_name_and_the_number():
    torn = [study(f"{patient}{split}", f"p{patient}", split) for patient in range(7) for split in ("train", "test")]
    with pytest.raises(DataError) as caught:
        check_patients([*torn, study("x")], Path("folder"), "mine")
    assert "7 of 8 patients are in more than one split: 'p0' (test, train), 'p1'" in str(caught.value)
    assert "'p4' (test, train) and 2 more" in str(caught.value)
    assert str(caught.value).startswith("mine: folder: ")


def test_a_patient_with_and_without_a_split_is_refused():
    with pytest.raises(DataError, match=r"'p' \(none, test\)"):
        check_patients([study("a", "p", "test"), study("b", "p", "")])


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(0, 5), st.randoms(use_true_random=False))
def test_drawn_splits_never_tear_a_patient_and_do_not_depend_on_the_order(owners, seed, random):
    studies = [study(f"i{number}", f"p{owner}", "") for number, owner in enumerate(owners)]
    drawn = draw_splits(studies, seed)
    check_patients(drawn)
    assert [one.id for one in drawn] == [one.id for one in studies]
    random.shuffle(studies)
    assert splits_of(draw_splits(studies, seed)) == splits_of(drawn)


def test_a_share_of_the_training_patients_becomes_validation():
    drawn = draw_validation([*people(40), study("t", "q", "test")], 0.1, 3)
    assert [one.split for one in drawn].count("validation") == 2 * 4
    assert drawn[-1].split == "test"


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 1), (5, 1)])
def test_few_patients_give_one_and_never_all(count, expected):
    drawn = draw_validation(people(count), 0.1, 0)
    assert len({one.patient for one in drawn if one.split == "validation"}) == expected


def test_no_share_draws_none():
    assert {one.split for one in draw_validation(people(5), 0.0, 0)} == {"train"}


def test_one_more_patient_moves_at_most_one_other():
    before = splits_of(draw_validation(people(50), 0.2, 0))
    after = splits_of(draw_validation(people(51), 0.2, 0))
    assert sum(after[name] != split for name, split in before.items()) <= 2


def test_another_seed_draws_others():
    assert splits_of(draw_validation(people(50), 0.2, 0)) != splits_of(draw_validation(people(50), 0.2, 1))


RECIPES = ("mae_pretrain_vit_s", "vit_s_cxr14", "pneumoniamnist", "chase", "vm_unet", "simulated")


@pytest.mark.parametrize("name", RECIPES)
def test_every_protocol_names_the_card_and_says_not_for_diagnosis(name):
    config = getattr(recipes, name)()
    told = protocol(config)
    assert config.data.card in told
    assert told.endswith(NOTICE)
    assert "validation score" in told
    assert "  " not in told


def test_the_protocol_says_what_is_special_about_a_set():
    assert "names no patients" in protocol(recipes.pneumoniamnist())
    assert "results say nothing about patients" in protocol(recipes.simulated())
    assert "findings and devices that are not drawn count as absent" in protocol(recipes.vm_unet())
    assert "own mean and deviation" in protocol(recipes.vm_unet())
    assert "fixed mean of 0.5056" in protocol(recipes.vit_s_cxr14())
    assert "uncertain" not in protocol(recipes.vit_s_cxr14())
    assert "Children 09 and 10 are validation" in protocol(recipes.chase())


@pytest.mark.parametrize(
    ("unknown", "words"), [("ignore", "is left out"), ("zero", "counts as absent"), ("one", "counts as present")]
)
def test_the_protocol_says_what_uncertain_and_blank_labels_count_as(unknown, words):
    data = MedicalData(card="chexpert", task="labels", names=CXR14[:2], unknown=unknown, views=("PA",), channels=3)
    config = recipes.vit_s_cxr14().model_copy(update={"data": data})
    told = protocol(config)
    assert f"uncertain (-1) {words}." in told
    assert "does not mention counts as absent" in told
    assert "of the views PA" in told
    assert "official validation set is the test split" in told
