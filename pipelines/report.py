"""One self-contained HTML file about finished runs: question, data, protocol, metrics, figures, cost, command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, StrictUndefined

from armillary.core.domain import ORACLE
from armillary.core.files import atomic_write
from armillary.pipelines.report_figures import ReportFigure, data_address, training_curve
from armillary.pipelines.report_sounds import SoundGroup, sound_address

MODEL = "model"


@dataclass(frozen=True)
class ReportData:
    """One dataset that a run read. `counts` says how many items each split had."""

    title: str
    licence: str
    citation: tuple[str, ...]
    simulated: bool
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    homepage: str | None = None


@dataclass(frozen=True)
class Interval:
    """A metric's value and the ends of its interval; None or NaN where one is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ReportMetric:
    """One row of the table: method ('model', or a baseline's name) -> value with interval."""

    name: str
    direction: Literal["min", "max"]
    values: Mapping[str, Interval]
    unit: str = "1"
    primary: bool = False


@dataclass(frozen=True)
class JointFigures:
    """Figures of several runs of one domain, shown above the first of them."""

    title: str
    runs: tuple[str, ...]
    figures: tuple[ReportFigure, ...]
    simulated: bool = False


@dataclass(frozen=True)
class ReportInput:
    """All that the report says about one run. Texts are plain, never markup.

    intervals: how the intervals were made, e.g. '95 % bootstrap over objects, 1000 resamples'.
    curve: rows of metrics.jsonl, with step, 'train loss' and 'validation ...'.
    cost, environment: name -> value with its unit, as they should be read.
    commands: shell commands that reproduce the numbers, in order.
    """

    title: str
    question: str
    recipe: str
    data: tuple[ReportData, ...]
    protocol: str
    metrics: tuple[ReportMetric, ...]
    intervals: str = ""
    figures: tuple[ReportFigure, ...] = ()
    sounds: tuple[SoundGroup, ...] = ()
    cost: Mapping[str, str] = field(default_factory=dict[str, str])
    curve: Sequence[Mapping[str, Any]] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    commands: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    joint: JointFigures | None = None

    @property
    def simulated(self) -> bool:
        return any(data.simulated for data in self.data)

    @property
    def methods(self) -> tuple[str, ...]:
        """The model first, then the baselines in their own order."""
        names = dict.fromkeys(name for metric in self.metrics for name in metric.values)
        return tuple(sorted(names, key=lambda name: name != MODEL))

    @property
    def primary(self) -> ReportMetric | None:
        return next((metric for metric in self.metrics if metric.primary), None)


def write_report(runs: Sequence[ReportInput], out: Path) -> Path:
    """Writes the report of all runs into one file, which needs no other and asks no server for anything."""
    if not runs:
        raise ValueError("a report needs at least one run")
    text = _template().render(runs=runs, all_simulated=all(run.simulated for run in runs))
    with atomic_write(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Any] = {
        "number": number,
        "interval": interval,
        "address": data_address,
        "sound_address": sound_address,
        "whiskers": whiskers,
    }
    environment.filters.update(filters)
    names: dict[str, Any] = {"best": best, "training_curve": training_curve, "MODEL": MODEL}
    environment.globals.update(names)
    source = files("armillary.pipelines").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(source)


def _defined(value: float | None) -> bool:
    return value is not None and isfinite(value)


def number(value: float | None) -> str:
    """Three decimals for numbers below 100, whole ones for large, a dash for none."""
    if value is None or not isfinite(value):
        return "\N{EN DASH}"
    return (f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}").replace("-", "\N{MINUS SIGN}")


def interval(values: Interval) -> str:
    """The ends as 'low to high', nothing where they are not defined."""
    return f"{number(values.low)} to {number(values.high)}" if _defined(values.low) and _defined(values.high) else ""


def best(metric: ReportMetric) -> str | None:
    """The method with the best value, an oracle left out; None where fewer than two methods have a value."""
    values = {name: found.value for name, found in metric.values.items() if found.value is not None}
    values = {name: value for name, value in values.items() if isfinite(value) and not name.startswith(ORACLE)}
    if len(values) < 2:
        return None
    return (min if metric.direction == "min" else max)(values, key=lambda name: values[name])


@dataclass(frozen=True)
class Whisker:
    """One method's place on a common axis, each in percent of the axis from its left end."""

    method: str
    values: Interval
    place: float
    low: float
    width: float


def whiskers(metric: ReportMetric, methods: Sequence[str]) -> list[Whisker]:
    """Values and intervals of all methods on one axis, which spans them all with a margin."""
    shown = {name: metric.values[name] for name in methods if name in metric.values}
    ends = [end for found in shown.values() for end in (found.value, found.low, found.high)]
    known = [end for end in ends if end is not None and isfinite(end)]
    if not known:
        return []
    margin = 0.05 * (max(known) - min(known)) or 1.0
    left, span = min(known) - margin, max(known) - min(known) + 2 * margin

    def percent(value: float) -> float:
        return round(100 * (value - left) / span, 2)

    found: list[Whisker] = []
    for name, values in shown.items():
        if values.value is None or not isfinite(values.value):
            continue
        low, high = values.low, values.high
        low = values.value if low is None or not isfinite(low) else low
        high = values.value if high is None or not isfinite(high) else high
        found.append(Whisker(name, values, percent(values.value), percent(low), percent(high) - percent(low)))
    return found
