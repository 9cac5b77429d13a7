"""A report of several runs of one domain begins with what shows them together."""

from pathlib import Path

import pytest
import xarray as xr

from armillary.core.errors import RunError
from armillary.pipelines import Run, train
from armillary.pipelines.cli import main
from armillary.pipelines.report_joint import run_names, stored_prediction

CAPTION = "Runs one and two together."


@pytest.fixture
def pair(toy: Path) -> tuple[Path, Path]:
    """Two short runs, evaluated."""
    for seed, name in enumerate(("one", "two")):
        train("toy/simulated", out=toy / name, quiet=True, epochs=1, seed=seed).evaluate()
    return toy / "one", toy / "two"


def _report(*runs: Path) -> str:
    out = runs[0].parent / "all.html"
    assert main(["report", *map(str, runs), "--out", str(out)]) == 0
    return out.read_text(encoding="utf-8")


def test_several_runs_share_a_figure_above_the_first_of_them(pair: tuple[Path, Path]):
    page = _report(*pair)
    assert page.count(f"<figcaption>{CAPTION}") == 1
    assert "Toy waves: 2 runs" in page
    assert page.index(CAPTION) < page.index('<article id="run-1">')


def test_one_run_alone_has_no_joint_figure(pair: tuple[Path, Path]):
    assert "together" not in _report(pair[0])


def test_a_domain_without_joint_figures_needs_none(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    domain = Run.load(pair[0]).domain
    monkeypatch.setitem(domain.__dict__, "joint_figures", None)
    assert "together" not in _report(*pair)


def test_runs_of_one_name_are_told_by_their_paths(toy: Path):
    for place in ("here", "there"):
        train("toy/simulated", out=toy / place / "run", quiet=True, epochs=1)
    runs = [Run.load(toy / place / "run") for place in ("here", "there")]
    assert run_names(runs) == [str(run.folder.path) for run in runs]
    assert run_names(runs[:1]) == ["run"]


def test_stored_predictions_are_those_of_the_test_split_or_an_error(pair: tuple[Path, Path]):
    run = Run.load(pair[0])
    stored = stored_prediction(run)
    assert isinstance(stored, xr.Dataset)
    assert stored.sizes["item"] == 40
    run.folder.predictions("test").unlink()
    with pytest.raises(RunError, match="armillary evaluate"):
        stored_prediction(run)
