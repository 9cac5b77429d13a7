"""Simulated folders appear whole, say what made them, and are never written over."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from armillary.core.errors import CardError
from armillary.core.simulations import STAMP, Simulation, Simulations, read_stamp

Write = Callable[[Path, int, str], tuple[int, str | None]]


def write_seed(folder: Path, seed: int, size: str) -> tuple[int, str | None]:
    (folder / "data.txt").write_text(f"{seed} {size}")
    return 3, "item 1"


def simulations(write: Write = write_seed, version: int = 1) -> Simulations:
    return Simulations(
        "field",
        version,
        {"made": Simulation(write, ("default", "twin")), "measured": Simulation(write, ("twin",))},
    )


def test_a_folder_lies_below_its_domain_and_says_what_made_it(tmp_path: Path):
    folder = simulations()("made", tmp_path, 7, "default")
    assert folder == tmp_path / "field" / "made"
    assert (folder / "data.txt").read_text() == "7 default"
    stamp = read_stamp(folder)
    assert stamp is not None
    assert (stamp.card, stamp.seed, stamp.size, stamp.version) == ("made", 7, "default", 1)
    assert (stamp.objects, stamp.broken) == (3, "item 1")


def test_the_same_call_uses_the_folder_again_without_writing(tmp_path: Path):
    folder = simulations()("made", tmp_path, 0, "twin")

    def never(folder: Path, seed: int, size: str) -> tuple[int, str | None]:
        raise AssertionError("written twice")

    assert simulations(never)("made", tmp_path, 0, "twin") == folder


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"seed": 1}, "expected seed 1, size twin, version 1, got seed 0, size twin, version 1"),
        ({"size": "default"}, "expected seed 0, size default, version 1, got seed 0, size twin, version 1"),
        ({"version": 2}, "expected seed 0, size twin, version 2, got seed 0, size twin, version 1"),
    ],
)
def test_a_folder_of_another_call_is_refused_and_left_alone(tmp_path: Path, change: dict, got: str):
    folder = simulations()("made", tmp_path, 0, "twin")
    call = {"seed": 0, "size": "twin", "version": 1} | change
    with pytest.raises(CardError) as error:
        simulations(version=call["version"])("made", tmp_path, call["seed"], call["size"])
    assert got in str(error.value)
    assert "Remove that folder, or simulate into another root" in str(error.value)
    assert (folder / "data.txt").read_text() == "0 twin"


@pytest.mark.parametrize("stamp", [None, "{", "[1]", json.dumps({"card": "made"})])
def test_a_folder_that_no_simulation_made_is_refused_whatever_its_stamp_says(tmp_path: Path, stamp: str | None):
    folder = tmp_path / "field" / "made"
    folder.mkdir(parents=True)
    (folder / "precious").write_text("mine")
    if stamp is not None:
        (folder / STAMP).write_text(stamp)
    with pytest.raises(CardError, match=r"no readable simulation\.json"):
        simulations()("made", tmp_path, 0, "twin")
    assert (folder / "precious").read_text() == "mine"


def test_the_folder_is_not_there_before_it_is_whole_and_others_may_read_it(tmp_path: Path):
    final = tmp_path / "field" / "made"
    seen: list[bool] = []

    def watch(folder: Path, seed: int, size: str) -> tuple[int, str | None]:
        (folder / "half").write_text("half")
        seen.append(final.exists())
        return write_seed(folder, seed, size)

    simulations(watch)("made", tmp_path, 0, "twin")
    assert seen == [False]
    assert final.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in final.parent.iterdir()] == ["made"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_behind_when_the_writing_breaks_off(tmp_path: Path, error: BaseException):
    def breaks(folder: Path, seed: int, size: str) -> tuple[int, str | None]:
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        simulations(breaks)("made", tmp_path, 0, "twin")
    assert list((tmp_path / "field").iterdir()) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_of_two_at_once_the_first_ones_folder_stays(tmp_path: Path, seed: int):
    def overtaken(folder: Path, own: int, size: str) -> tuple[int, str | None]:
        simulations()("made", tmp_path, seed, "twin")
        (folder / "data.txt").write_text("late")
        return 3, None

    if seed == 0:
        simulations(overtaken)("made", tmp_path, 0, "twin")
    else:
        with pytest.raises(CardError, match="holds something else"):
            simulations(overtaken)("made", tmp_path, 0, "twin")
    assert (tmp_path / "field" / "made" / "data.txt").read_text() == f"{seed} twin"
    assert [path.name for path in (tmp_path / "field").iterdir()] == ["made"]


def test_unknown_cards_and_sizes_are_told_what_there_is(tmp_path: Path):
    with pytest.raises(CardError, match=r"not a card that field can simulate.*did you mean 'made'"):
        simulations()("mode", tmp_path, 0, "twin")
    with pytest.raises(CardError, match=r"no simulated default; expected size 'twin'(.|\n)*simulate 'made'"):
        simulations()("measured", tmp_path, 0, "default")
    assert list(tmp_path.iterdir()) == []
