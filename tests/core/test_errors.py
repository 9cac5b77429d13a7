"""Messages a user can act on."""

import pickle
from pathlib import Path

import pytest

from armillary.core.errors import DataError, MissingExtraError, near_miss


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({}, "flux is missing"),
        ({"path": Path("a.csv")}, "a.csv: flux is missing"),
        ({"path": "a.csv", "row": 3}, "a.csv:3: flux is missing"),
        ({"path": "a.csv", "row": 3, "item": "SN1"}, "a.csv:3[SN1]: flux is missing"),
        ({"card": "ztf_bts", "path": "a.csv"}, "ztf_bts: a.csv: flux is missing"),
        ({"card": "ztf_bts"}, "ztf_bts: flux is missing"),
        ({"item": "SN1"}, "[SN1]: flux is missing"),
        ({"path": "a.csv", "advice": "Add it."}, "a.csv: flux is missing\n  Add it."),
    ],
)
def test_a_data_error_says_where_what_and_what_to_do(place, message):
    assert str(DataError("flux is missing", **place)) == message


def test_a_data_error_crosses_a_process_border_whole():
    error = DataError("bad", path=Path("a.csv"), item="SN1", row=0, card="c", advice="Fix it.")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is DataError
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_a_missing_extra_names_the_command_that_installs_it():
    text = str(MissingExtraError("dask", "batch", "armillary batch"))
    assert text == (
        "armillary batch needs the package 'dask', which is not installed.\n"
        "  Install it with: pip install 'armillary[batch]'"
    )


def test_a_near_miss_is_named_first_and_all_names_after_it():
    assert near_miss("stepz", ["warmup", "steps"]) == "; did you mean 'steps'?  (it has: steps, warmup)"
    assert near_miss("zzz", ["warmup", "steps"]) == ".  (it has: steps, warmup)"
    assert near_miss("x", []) == ".  (it has: )"
