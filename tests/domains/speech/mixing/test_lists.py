"""Lists of mixtures in LibriMix's tables."""

from pathlib import Path

import pytest

from armillary.core.errors import DataError
from armillary.domains.speech.mixing.lists import Listed, info_path, is_list, read_list, write_list

FULL = Listed(
    "a_b", ("x/a.flac", "y/b.flac"), (0.5, 1.25), "n/noise.wav", 2.5, 160_000, 7_212_379_627_463_997_962, 0.4391,
    ("1", "2"), ("F", "M"),
)  # fmt: skip
PLAIN = Listed("c", ("c.wav",), (1.0,), speakers=("3",), sexes=("",))


def nothing(error: DataError) -> None:
    pytest.fail(str(error))


@pytest.mark.parametrize("mixtures", [[FULL], [PLAIN], [FULL, PLAIN], []])
def test_a_list_comes_back_as_it_was_written(mixtures: list[Listed], tmp_path: Path):
    path = tmp_path / "metadata" / "libri2mix_train.csv"
    write_list(path, mixtures)
    assert is_list(path)
    assert not is_list(info_path(path))
    if mixtures:
        assert read_list(path, nothing) == mixtures


def test_columns_are_those_of_librimix_and_more_only_where_there_is_more(tmp_path: Path):
    write_list(tmp_path / "list.csv", [PLAIN])
    assert (tmp_path / "list.csv").read_text() == "mixture_ID,source_1_path,source_1_gain\nc,c.wav,1.0\n"
    assert info_path(tmp_path / "list.csv").read_text() == "mixture_ID,speaker_1_ID,speaker_1_sex\nc,3,\n"
    write_list(tmp_path / "full.csv", [FULL])
    assert (tmp_path / "full.csv").read_text().splitlines()[0] == (
        "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain,noise_start,"
        "room_seed,rt60_s"
    )


def test_a_list_of_the_original_columns_is_read(tmp_path: Path):
    path = tmp_path / "libri2mix_dev.csv"
    path.write_text(
        "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain\n"
        "m,a.flac,0.5,b.flac,0.25,n.wav,0.75\n"
    )
    (found,) = read_list(path, nothing)
    assert found == Listed("m", ("a.flac", "b.flac"), (0.5, 0.25), "n.wav", 0.75, speakers=("", ""), sexes=("", ""))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../m,a.wav,1", "cannot name a file"),
        (",a.wav,1", "cannot name a file"),
        ("m,a.wav,loud", "source_1_gain is 'loud'; expected a number"),
        ("m,a.wav,inf", "expected a number"),
        ("m,,1", "'' is no path"),
        ("m,../../a.wav,1", "is no path below"),
        ("good,a.wav,1", "there before"),
    ],
)
def test_a_row_that_cannot_be_used_is_told_with_its_number_and_the_others_are_read(row, message, tmp_path: Path):
    path = tmp_path / "list.csv"
    path.write_text(f"mixture_ID,source_1_path,source_1_gain\ngood,a.wav,1\n{row}\nlast,a.wav,2\n")
    problems: list[DataError] = []
    assert [listed.name for listed in read_list(path, problems.append)] == ["good", "last"]
    (problem,) = problems
    assert message in str(problem)
    assert problem.row == 3


def test_a_table_of_something_else_is_refused(tmp_path: Path):
    path = tmp_path / "list.csv"
    path.write_text("name,gain\na,1\n")
    with pytest.raises(DataError, match="has no column mixture_ID"):
        read_list(path, nothing)
