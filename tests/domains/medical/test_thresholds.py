"""Thresholds chosen on validation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.domains.medical.thresholds import sensitive_thresholds, youden_thresholds

NAN = float("nan")


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def drawn(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and targets of which some are unknown."""
    rng = np.random.default_rng(seed)
    target = (rng.random((count, 1)) < 0.4).astype(np.float32)
    probability = (0.4 * target + 0.6 * rng.random((count, 1))).round(1).astype(np.float32)
    target[rng.random((count, 1)) < 0.1] = np.nan
    return probability, target


def index_of(probability: np.ndarray, target: np.ndarray, threshold: float) -> float:
    """Sensitivity + specificity - 1 of the known items at a threshold."""
    known = ~np.isnan(target)
    called, positive = probability[known] >= np.float32(threshold), target[known] > 0.5
    return called[positive].mean() - called[~positive].mean()


def test_a_perfect_label_is_cut_half_way_between_positives_and_negatives():
    found = youden_thresholds(column(0.1, 0.2, 0.6, 0.9), column(0, 0, 1, 1))
    assert found.dtype == np.float32
    assert found == pytest.approx([0.4])


@given(st.integers(0, 10_000), st.integers(2, 40))
def test_no_threshold_has_a_greater_index_than_youdens(seed: int, count: int):
    probability, target = drawn(seed, count)
    known = target[~np.isnan(target)]
    chosen = float(youden_thresholds(probability, target)[0])
    if not 0 < known.sum() < len(known):
        assert chosen == 0.5
        return
    every = [index_of(probability, target, level) for level in np.unique(probability)]
    if max(every) > 1e-9:
        assert index_of(probability, target, chosen) == pytest.approx(max(every))
    else:
        assert chosen == 0.5


def test_of_equally_good_thresholds_the_highest_is_taken():
    # At 0.3 two of two positives and one of two negatives; at 0.9 one and none.
    assert youden_thresholds(column(0.9, 0.5, 0.3, 0.1), column(1, 0, 1, 0)) == pytest.approx([0.7])


def test_a_label_that_is_ranked_the_wrong_way_round_keeps_one_half():
    assert youden_thresholds(column(0.9, 0.8, 0.2), column(0, 0, 1)) == [0.5]


def test_neighbouring_float32_probabilities_are_still_told_apart():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    threshold = youden_thresholds(np.array([[low], [high]]), column(0, 1))[0]
    assert low < threshold <= high


@given(st.integers(0, 10_000), st.integers(2, 40), st.floats(0.01, 1.0))
def test_the_sensitive_threshold_is_the_highest_that_finds_enough_positives(seed: int, count: int, share: float):
    probability, target = drawn(seed, count)
    known = target[~np.isnan(target)]
    chosen = float(sensitive_thresholds(probability, target, share)[0])
    if not 0 < known.sum() < len(known):
        assert chosen == 0.5
        return
    scores = probability[target == 1]
    assert (scores >= np.float32(chosen)).mean() >= share - 1e-9
    higher = scores[scores > np.float32(chosen)]
    assert len(higher) / len(scores) < share


def test_twenty_positives_at_95_percent_lose_one():
    scores = column(*np.linspace(0.05, 1.0, 20), 0.0)
    target = column(*[1.0] * 20, 0.0)
    assert sensitive_thresholds(scores, target, 0.95) == pytest.approx([0.1])
    assert sensitive_thresholds(scores, target, 1.0) == pytest.approx([0.05])


@pytest.mark.parametrize("target", [(0, 0, 0), (1, 1, 1), (NAN, NAN, NAN)])
def test_a_label_without_both_kinds_keeps_one_half(target: tuple[float, ...]):
    probability = column(0.1, 0.2, 0.3)
    assert youden_thresholds(probability, column(*target)) == [0.5]
    assert sensitive_thresholds(probability, column(*target), 0.9) == [0.5]


def test_labels_have_their_own_thresholds_and_unknown_items_do_not_count():
    probability = np.array([[0.1, 0.5], [0.3, 0.6], [0.9, 0.99]], np.float32)
    target = np.array([[0, 0], [1, 1], [NAN, 1]], np.float32)
    assert youden_thresholds(probability, target) == pytest.approx([0.2, 0.55])
    assert sensitive_thresholds(probability, target, 0.5) == pytest.approx([0.3, 0.99])
