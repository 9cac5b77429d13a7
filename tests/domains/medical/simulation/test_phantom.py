"""Chest phantoms: functions of the seed and the number, with masks where the findings are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from armillary.domains.medical.simulation.patients import FINDINGS, Visit, draw_patient, draw_visit, visits
from armillary.domains.medical.simulation.phantom import STRUCTURES, draw_film, draw_films


@pytest.fixture(scope="module")
def films():
    return list(draw_films(0, 40, 64))


def with_findings(number: int, *names: str, view: str = "PA") -> Visit:
    patient = draw_patient(3, number)
    fields = draw_visit(3, patient, 0).__dict__ | {"findings": frozenset(names), "view": view}
    return Visit(**fields)


@settings(max_examples=25)
@given(st.integers(0, 40), st.integers(0, 3), st.sampled_from([33, 64]))
def test_a_film_depends_on_seed_patient_and_visit_alone(number, visit, size):
    one, other = (draw_film(7, draw_visit(7, draw_patient(7, number), visit), size) for _ in range(2))
    assert_array_equal(one.image, other.image)
    assert one.image.shape == (size, size)
    assert one.image.dtype == np.float32
    assert 0 <= one.image.min() < 0.2
    assert one.image.max() <= 1
    assert one.image.std() > 0.1


def test_more_patients_leave_the_first_films_as_they_are(films):
    few = list(draw_films(0, 3, 64))
    for one, other in zip(few, films, strict=False):
        assert_array_equal(one.image, other.image)


def test_other_seeds_are_other_people():
    assert draw_patient(0, 1) != draw_patient(1, 1)


def test_each_patient_has_one_to_four_films_of_one_sex_and_anatomy():
    found: dict[int, list[Visit]] = {}
    for visit in visits(0, 60):
        found.setdefault(visit.patient.number, []).append(visit)
    assert {len(its) for its in found.values()} == {1, 2, 3, 4}
    for its in found.values():
        assert all(visit.patient == its[0].patient for visit in its)


def test_masks_are_there_for_what_the_labels_say(films):
    for film in films:
        assert set(film.masks) == {*STRUCTURES, *FINDINGS}
        for name in STRUCTURES:
            assert 0.01 < film.masks[name].mean() < 0.4
        for name, label in film.labels.items():
            assert film.masks[name].any() == bool(label), name


def test_every_finding_and_both_views_come_often_enough(films):
    rates = np.mean([[film.labels[name] for name in FINDINGS] for film in films], 0)
    assert (rates > 0.08).all()
    assert (rates < 0.5).all()
    assert 0.2 < np.mean([film.visit.view == "AP" for film in films]) < 0.7


def test_the_left_lung_is_on_the_right_of_the_image(films):
    for film in films:
        centres = [np.nonzero(film.masks[name])[1].mean() for name in ("right_lung", "heart", "left_lung")]
        assert centres == sorted(centres)


def test_lungs_are_darker_than_the_heart(films):
    for film in films:
        lungs = film.masks["left_lung"] | film.masks["right_lung"]
        clear = lungs & ~film.masks["heart"]
        for name in FINDINGS:
            clear &= ~film.masks[name]
        assert film.image[clear].mean() < film.image[film.masks["heart"]].mean() - 0.1


@pytest.mark.parametrize(
    ("name", "brighter"), [("Opacity", True), ("Effusion", True), ("Nodule", True), ("Pneumothorax", False)]
)
def test_a_finding_changes_the_film_where_its_mask_is(name, brighter):
    changes = []
    for number in range(8):
        ill, well = (draw_film(3, with_findings(number, *names), 96) for names in ((name,), ()))
        inside = ill.masks[name] & ~ill.masks["heart"]
        if inside.any():
            changes.append(ill.image[inside].mean() - well.image[inside].mean())
    assert (np.mean(changes) > 0.01) == brighter
    assert abs(np.mean(changes)) > 0.01


def test_a_large_heart_is_called_so_and_no_other():
    for number in range(60):
        patient = draw_patient(0, number)
        assert (patient.heart > 0.5) == ("Cardiomegaly" in patient.ailments)


def test_the_heart_looks_larger_in_ap():
    for number in range(4):
        one, other = (draw_film(3, with_findings(number, view=view), 96).masks["heart"].sum() for view in ("PA", "AP"))
        assert other > one
