"""Figures that show several runs of one domain together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import xarray as xr
from matplotlib.figure import Figure

from armillary.core.errors import RunError
from armillary.pipelines.report import JointFigures, ReportInput
from armillary.pipelines.report_figures import ReportFigure
from armillary.pipelines.run import Run


def with_joint_figures(runs: Sequence[Run], inputs: Sequence[ReportInput]) -> list[ReportInput]:
    """The inputs, where the first run of each domain that has several brings the figures of all its runs."""
    found = list(inputs)
    for name in dict.fromkeys(run.config.domain for run in runs):
        places = [place for place, run in enumerate(runs) if run.config.domain == name]
        figures = _draw([runs[place] for place in places])
        if figures:
            simulated = any(found[place].simulated for place in places)
            chosen = tuple(run_names([runs[place] for place in places]))
            joint = JointFigures(found[places[0]].title, chosen, figures, simulated)
            found[places[0]] = replace(found[places[0]], joint=joint)
    return found


def run_names(runs: Sequence[Run]) -> list[str]:
    """The name of each run's folder; the whole path of those that share their name with another one."""
    names = [run.folder.name for run in runs]
    return [str(run.folder.path) if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]


def stored_prediction(run: Run) -> xr.Dataset:
    """The predictions of the test split that `armillary evaluate` wrote, in memory.

    Raises:
        RunError: there are none.
    """
    path = run.folder.predictions("test")
    if not path.exists():
        raise RunError(f"{path}: missing. Run: armillary evaluate {run.folder.path}")
    with xr.open_dataset(path) as prediction:
        return prediction.load()


def report_figures(figures: Mapping[str, Figure]) -> tuple[ReportFigure, ...]:
    """Each figure with its label as caption and in words, its name where it has none."""
    shown: list[ReportFigure] = []
    for name, figure in figures.items():
        plain = name.replace("_", " ")
        caption = str(figure.get_label() or plain)
        shown.append(ReportFigure(plain, figure, caption, caption))
    return tuple(shown)


def _draw(runs: Sequence[Run]) -> tuple[ReportFigure, ...]:
    """The joint figures of runs of one domain; none for a single run or where the domain draws none."""
    joint = runs[0].domain.joint_figures
    if joint is None or len(runs) < 2:
        return ()
    return report_figures(joint(dict(zip(run_names(runs), map(stored_prediction, runs), strict=True))))
