"""Randomness as a function of its keys."""

from hypothesis import given
from hypothesis import strategies as st

from armillary.core.random import derive_rng, derive_seed

KEYS = st.lists(st.one_of(st.integers(), st.text(st.characters(exclude_characters="\x1f"))), min_size=1, max_size=4)


@given(KEYS, KEYS)
def test_seeds_agree_exactly_when_keys_do(first, second):
    assert (derive_seed(*first) == derive_seed(*second)) == (first == second)


@given(KEYS)
def test_a_seed_fits_what_torch_and_numpy_take(keys):
    assert 0 <= derive_seed(*keys) < 2**63


def test_a_number_and_its_digits_are_different_keys():
    assert derive_seed(1) != derive_seed("1")
    assert derive_seed("a", "b") != derive_seed("ab")


def test_seeds_stay_what_they_were_on_any_machine():
    assert derive_seed(0, "augment", 3, 17) == 4770629671863177614


def test_a_generator_depends_on_its_keys_alone():
    assert derive_rng(1, "x").random(3).tolist() == derive_rng(1, "x").random(3).tolist()
    assert derive_rng(1, "x").random(3).tolist() != derive_rng(2, "x").random(3).tolist()
