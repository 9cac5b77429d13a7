"""Weighted means and medians over voices, and what counts as a voice."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from armillary.domains.speech.metrics.groups_of_voices import LEVEL_BINS, sex_group, sex_groups
from armillary.domains.speech.metrics.voices import gain, level_difference_db, mean, median, score

tables = arrays(np.float64, st.tuples(st.integers(1, 7), st.integers(1, 3)), elements=st.floats(-50, 50))


def records(**variables: list[list[object]]) -> xr.Dataset:
    """Records with these values (item, source)."""
    return xr.Dataset({name: (("item", "source"), np.array(values)) for name, values in variables.items()})


@given(tables, st.integers(1, 5))
def test_equal_weights_give_numpys_mean_and_median(values: np.ndarray, weight: int) -> None:
    weights = np.full(len(values), float(weight))
    assert mean(values)(weights) == pytest.approx(values.mean(), abs=1e-9)
    assert median(values)(weights) == pytest.approx(np.median(values), abs=1e-9)


@given(tables, st.data())
def test_a_weight_is_how_often_an_item_counts(values: np.ndarray, data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values))))
    for prepare, plain in ((mean, np.mean), (median, np.median)):
        found = prepare(values)(counts.astype(np.float64))
        if counts.any():
            assert found == pytest.approx(plain(np.repeat(values, counts, axis=0)), abs=1e-9)
        else:
            assert np.isnan(found)


def test_voices_without_a_value_are_left_out() -> None:
    values = np.array([[1.0, np.nan], [4.0, 7.0]])
    ones = np.ones(2)
    assert mean(values)(ones) == 4.0
    assert median(values)(ones) == 4.0
    assert mean(values, np.array([[True, True], [False, True]]))(ones) == 4.0
    assert np.isnan(mean(np.full((2, 2), np.nan))(ones))
    assert np.isnan(median(np.full((2, 2), np.nan))(ones))
    assert np.isnan(median(np.zeros((0, 2)))(np.zeros(0)))


def test_a_gain_is_the_score_minus_that_of_the_mixture() -> None:
    found = records(si_sdr=[[5.0, 1.0]], si_sdr_mixture=[[-2.0, 2.0]])
    np.testing.assert_array_equal(gain(found, "si_sdr"), [[7.0, -1.0]])
    assert np.isnan(gain(found, "stoi")).all()
    assert score(found, "stoi").shape == (1, 2)


def test_the_level_over_the_others_does_not_depend_on_what_else_is_in_the_mixture() -> None:
    levels = np.array([[-3.0, -6.0, -20.0]])
    power = 10 ** (levels[0] / 10)
    expected = 10 * np.log10(power / (power.sum() - power))
    for shift in (0.0, -15.0):
        found = level_difference_db(records(level_db=(levels + shift).tolist()))
        np.testing.assert_allclose(found[0], expected, atol=1e-9)


def test_two_voices_are_as_much_over_each_other_as_their_levels_differ() -> None:
    np.testing.assert_allclose(level_difference_db(records(level_db=[[-2.0, -9.0]])), [[7.0, -7.0]], atol=1e-9)
    assert np.isfinite(level_difference_db(records(level_db=[[120.0, -120.0]]))).all()


def test_a_lone_voice_is_as_much_over_the_noise_as_the_mixture_scores() -> None:
    found = level_difference_db(records(level_db=[[-0.1]], si_sdr_mixture=[[12.0]]))
    assert found.tolist() == [[12.0]]


def test_every_voice_is_in_one_range_of_levels() -> None:
    found = records(level_db=[[0.0, 0.0], [0.0, -5.0], [0.0, -40.0], [0.0, -3.0]])
    held = np.stack([part.holds(found) for part in LEVEL_BINS])
    assert (held.sum(0) == 1).all()
    assert [part.name for part in LEVEL_BINS] == ["below_-5dB", "-5_to_0dB", "0_to_5dB", "from_5dB"]


@pytest.mark.parametrize(
    ("sexes", "group"),
    [
        (["F"], "F"), (["M", "F"], "FM"), (["F", "M"], "FM"), (["M", "M"], "MM"), (["", "F"], ""),
        (["F", "F", "F"], "one_sex"), (["F", "M", "F"], "both_sexes"), (["F", "", "F"], ""),
    ],
)  # fmt: skip
def test_mixtures_are_grouped_by_the_sexes_of_their_speakers(sexes: list[str], group: str) -> None:
    found = sex_group(records(sex=[sexes]))
    assert found.tolist() == [group]
    assert group in ("", *sex_groups(len(sexes)))


def test_records_without_sexes_are_of_no_group() -> None:
    assert sex_group(records(si_sdr=[[1.0, 2.0]])).tolist() == [""]
    assert sex_group(records(sex=[["F", "M"]]).isel(item=slice(0, 0))).tolist() == []
