"""Figures that the sciences share show what was counted, in the words of the science."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.classification.scored import Scored
from armillary.core.figures.calibration import calibration_figure
from armillary.core.figures.confusion import COUNTED, confusion_figure, confusion_panels
from armillary.core.figures.intervals import wilson
from armillary.core.plotting import house_style


def _scored(classes: int, wrong: int = 1) -> Scored:
    """Four items a class, of which `wrong` are taken for the next class."""
    truth = np.repeat(np.arange(classes), 4)
    called = np.where(np.arange(len(truth)) % 4 < wrong, (truth + 1) % classes, truth)
    probability = np.full((len(truth), classes), 0.4 / classes)
    probability[np.arange(len(truth)), called] += 0.6
    return Scored(probability, truth, np.ones(len(truth), np.bool_), tuple(f"kind {k}" for k in range(classes)))


def _cells(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def _drawn(figure) -> str:
    buffer = io.StringIO()
    with house_style():
        figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def test_cells_of_few_classes_hold_share_and_count():
    figure = confusion_figure(_scored(3), "frames")
    assert sorted(set(_cells(figure.axes[0]))) == ["0.25\n1", "0.75\n3"]
    assert "True class (frames)" in _drawn(figure)
    assert "kind 2 (4)" in _drawn(figure)


@pytest.mark.parametrize("classes", [COUNTED + 1, 26])
def test_cells_of_many_classes_hold_percent_alone(classes):
    figure = confusion_figure(_scored(classes))
    assert sorted(_cells(figure.axes[0])) == sorted(["25", "75"] * classes)
    assert "numbers in %" in _drawn(figure)


def test_the_picture_holds_the_share_of_each_row():
    shown = confusion_figure(_scored(4)).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, 0.75 * np.eye(4) + 0.25 * np.roll(np.eye(4), 1, 1))


@pytest.mark.parametrize(("classes", "numbered"), [(3, True), (26, False)])
def test_panels_are_titled_and_share_their_colours(classes, numbered):
    figure = confusion_panels([("low", _scored(classes, 3)), ("high", _scored(classes, 0))])
    low, high = figure.axes[:2]
    assert [axes.get_title(loc="center") or axes.get_title(loc="left") for axes in (low, high)] == ["low", "high"]
    assert low.images[0].get_clim() == high.images[0].get_clim() == (0, 1)
    assert bool(_cells(high)) == numbered
    np.testing.assert_allclose(high.images[0].get_array(), np.eye(classes))
    assert "Predicted class" in _drawn(figure)


def test_a_class_without_items_has_an_empty_row():
    known = _scored(3)
    some = known.truth > 0
    part = Scored(known.probability[some], known.truth[some], known.known & some, known.classes)
    np.testing.assert_array_equal(confusion_figure(part).axes[0].images[0].get_array()[0], 0)


def test_calibration_names_the_items_and_its_error():
    text = _drawn(calibration_figure(_scored(3), "frames"))
    assert "Frames" in text
    assert "Expected calibration error 0.017" in text  # right 3 of 4 times at a confidence of 0.7333


def test_the_score_interval_of_five_in_ten():
    low, high = wilson(np.array([5.0]), np.array([10.0]))
    np.testing.assert_allclose([low[0], high[0]], [0.2366, 0.7634], atol=1e-4)


@given(st.integers(1, 1000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_holds_the_share_and_stays_in_bounds(case):
    correct, count = (np.array([float(number)]) for number in case)
    low, high = wilson(correct, count)
    assert -1e-12 <= low[0] <= correct[0] / count[0] + 1e-12
    assert correct[0] / count[0] - 1e-12 <= high[0] <= 1 + 1e-12
