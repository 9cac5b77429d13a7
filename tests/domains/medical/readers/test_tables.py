"""Cells of tables: ages, sexes, splits, paths."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.errors import DataError
from armillary.domains.medical.readers.tables import age_of, inside, read_table, sex_of, split_of


@pytest.mark.parametrize(
    ("text", "years"),
    [("57", 57.0), ("058Y", 58.0), ("006M", 0.5), ("52W", 52 * 7 / 365.25), ("0", 0.0), ("70.0", 70.0)],
)
def test_ages_are_years(text, years):
    assert age_of(text) == pytest.approx(years)


@pytest.mark.parametrize("text", ["", "nan", "old", "-3", "414", "1e2", "٣", "99999999999999"])
def test_an_age_that_is_none_or_nobodys_is_unknown(text):
    assert np.isnan(age_of(text))


def test_sexes_go_by_their_first_letter():
    assert [sex_of(text) for text in ("F", "female", "m", "Male", "Unknown", "nan", "")] == [
        "F",
        "F",
        "M",
        "M",
        "",
        "",
        "",
    ]


def test_splits_have_several_names():
    assert [split_of(text, "") for text in ("train", "Val", "valid", "validation", "TEST")] == [
        "train", "validation", "validation", "validation", "test",
    ]  # fmt: skip
    with pytest.raises(DataError, match="is in the split 'dev2'"):
        split_of("dev2", "x")


@given(st.text(max_size=30))
def test_no_path_of_a_cell_leaves_the_folder(text: str):
    root = Path("/data/set")
    try:
        path = inside(root, text)
    except DataError:
        return
    assert root in path.resolve().parents


def test_a_header_with_an_unquoted_comma_has_one_column_more(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("\ufeffname,size[x,y]\na, 3,4\nb\n", encoding="utf-8")
    assert list(read_table(table, ("name", "size[x", "y]"))) == [
        (2, {"name": "a", "size[x": "3", "y]": "4"}),
        (3, {"name": "b", "size[x": "", "y]": ""}),
    ]


def test_a_cell_beyond_the_limit_of_the_format_is_no_table(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("name\n" + "a" * (csv.field_size_limit() + 1))
    with pytest.raises(DataError, match="is no table in CSV"):
        list(read_table(table, ("name",)))
