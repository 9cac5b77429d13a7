"""`compare`: the same recipe with other mixers: the same data, the same budget, several seeds, side by side.

A comparison is a folder. Each pair of contestant and seed is a run folder in it, finished ones are kept, so that a
stopped comparison goes on with the same command and a finished one takes more mixers or seeds.
"""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from armillary.core.config import RunConfig
from armillary.core.config.overrides import Override, Resolved
from armillary.core.cost import describe
from armillary.core.domain import Split
from armillary.core.errors import ArmillaryError, ConfigError, RunError
from armillary.pipelines.compare_table import summarise
from armillary.pipelines.config import changed, load_config, resolve_recipe
from armillary.pipelines.contestants import Contestant, contestants
from armillary.pipelines.evaluate import evaluate
from armillary.pipelines.folder import RunFolder, describe_machine, read_json, write_config, write_json
from armillary.pipelines.measure import measured
from armillary.pipelines.plugins import load_domain
from armillary.pipelines.run import Run
from armillary.pipelines.training import train

_PLAN = "plan.json"


@dataclass(frozen=True)
class Plan:
    """What must be alike for results to be compared: it is written once and checked ever after.

    overrides: settings beside the contestants' own; budget: optimiser steps, None for the recipe's epochs.
    """

    recipe: str
    overrides: tuple[Override, ...] = ()
    budget: int | None = None
    split: Split = "validation"

    @property
    def all_overrides(self) -> tuple[Override, ...]:
        """The overrides, and the budget as one."""
        budget = () if self.budget is None else (Override("train.steps", self.budget, f"--budget {self.budget}"),)
        return (*self.overrides, *budget)

    def record(self) -> dict[str, Any]:
        """As plain data, for the comparison's folder."""
        return {
            "recipe": self.recipe,
            "settings": {override.path: override.value for override in self.overrides},
            "budget": self.budget,
            "split": self.split,
        }


@dataclass(frozen=True)
class Cell:
    """One contestant with one seed, in a run folder of its own."""

    plan: Plan
    contestant: Contestant
    seed: int
    folder: Path
    data_root: Path | None
    threads: int
    quiet: bool

    @property
    def result(self) -> Path:
        """The file that says the cell is finished."""
        return self.folder.with_suffix(".json")


def compare(
    plan: Plan,
    mixers: str,
    channels: str | None = None,
    *,
    out: Path,
    seeds: int = 3,
    jobs: int = 1,
    threads: int | None = None,
    data_root: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train, judge and measure every contestant; the table as plain data, also written to `out` with a figure.

    A contestant that cannot serve the recipe is left out with the reason. Quality is that of `plan.split`: choose on
    validation, and name the test split only to report.

    Raises:
        ConfigError: nothing to compare, or fewer than one seed or job.
        RunError: `out` holds a comparison of something else.
    """
    for name, count in (("--seeds", seeds), ("--jobs", jobs)):
        if count < 1:
            raise ConfigError(f"{name} {count}: expected at least 1.")
    config = resolve_recipe(plan.recipe, plan.all_overrides).config
    entrants = admitted(config, plan, mixers, channels)
    _keep_plan(out, plan)
    threads = threads or max(torch.get_num_threads() // jobs, 1)
    cells = [
        Cell(plan, entrant, seed, out / "runs" / f"{entrant.slug}-seed{seed}", data_root, threads, quiet)
        for seed in range(seeds)  # every contestant once before any a second time: an early stop still compares
        for entrant in entrants.accepted
    ]
    failures = _run_all([cell for cell in cells if not cell.result.exists()], jobs)
    _judge_baselines(out, plan, cells, data_root)
    failures |= _measure_all(out, cells, threads)
    return summarise(out, plan.record(), entrants.described, entrants.refused | failures)


@dataclass(frozen=True)
class Admission:
    """Contestants that serve the recipe with their counted cost, and the others with the reason."""

    accepted: tuple[Contestant, ...]
    described: dict[str, dict[str, Any]]
    refused: dict[str, str]


def admitted(config: RunConfig, plan: Plan, mixers: str, channels: str | None) -> Admission:
    """Build each contestant on the meta device and see whether it takes the recipe's tokens."""
    domain = load_domain(config.domain)
    accepted: list[Contestant] = []
    described: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    for entrant in contestants(config, mixers, channels, domain.trunk_needs(config)):
        try:
            own = resolve_recipe(plan.recipe, [*plan.all_overrides, *entrant.overrides]).config
            cost = describe(lambda own=own: domain.build(own), domain.example_batch(own, 1))
        except (ArmillaryError, ValueError, NotImplementedError) as error:
            refused[entrant.name] = str(error).splitlines()[0]
            print(f"left out: {entrant.name}: {refused[entrant.name]}", file=sys.stderr, flush=True)
            continue
        accepted.append(entrant)
        settings = {override.path: override.value for override in entrant.overrides}
        described[entrant.name] = {
            "slug": entrant.slug, "parameters": cost.parameters, "mac": cost.mac, "settings": settings
        }  # fmt: skip
    return Admission(tuple(accepted), described, refused)


def _keep_plan(out: Path, plan: Plan) -> None:
    path = out / _PLAN
    if not path.exists():
        write_json(path, plan.record())
        return
    before, now = read_json(path), plan.record()
    different = [key for key in now if before.get(key) != now[key]]
    if different:
        told = "; ".join(f"{key}: {before.get(key)} there, {now[key]} now" for key in different)
        raise RunError(f"{out} holds a comparison with other conditions ({told}). Give another --out.")


def _run_all(cells: Sequence[Cell], jobs: int) -> dict[str, str]:
    """Run the cells, several at once; a cell that fails is named and the others go on."""
    if jobs == 1:
        results = map(run_cell, cells)
        return _failures(cells, results)
    # Fresh processes: one that has used its threads must not be forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        return _failures(cells, pool.map(run_cell, cells))


def _failures(cells: Sequence[Cell], results: Any) -> dict[str, str]:
    failures: dict[str, str] = {}
    for cell, problem in zip(cells, results, strict=True):
        if problem:
            name = f"{cell.contestant.name} seed {cell.seed}"
            failures[name] = problem
            print(f"failed: {name}: {problem}", file=sys.stderr, flush=True)
    return failures


def run_cell(cell: Cell) -> str | None:
    """Train and judge one cell; the reason if it cannot be done."""
    torch.set_num_threads(cell.threads)
    try:
        run = train(
            cell.plan.recipe,
            out=cell.folder,
            resume=(cell.folder / "config.json").exists(),
            seed=cell.seed,
            overrides=[*cell.plan.all_overrides, *cell.contestant.overrides],
            data_root=cell.data_root,
            quiet=cell.quiet,
        )
        result = evaluate([run], cell.plan.split, baselines=False)
    except ArmillaryError as error:
        return str(error).splitlines()[0]
    facts = read_json(run.folder.model / "model.json")
    write_json(
        cell.result,
        {
            "mixer": cell.contestant.name,
            "seed": cell.seed,
            "metrics": result["metrics"]["model"],
            "items": result["items"],
            "simulated": result["simulated"],
            "best step": facts["step"],
            "cpu_seconds": facts["cpu_seconds"],
            "machine": describe_machine(),
        },
    )
    return None


def _judge_baselines(out: Path, plan: Plan, cells: Sequence[Cell], data_root: Path | None) -> None:
    """The recipe's simple methods, once: they know nothing of mixers."""
    path = out / "baselines.json"
    finished = next((cell for cell in cells if cell.result.exists()), None)
    if path.exists() or finished is None:
        return
    result = evaluate([Run.load(finished.folder, data_root=data_root)], plan.split, baselines=True)
    write_json(path, {name: found for name, found in result["metrics"].items() if name != "model"})


def _measure_all(out: Path, cells: Sequence[Cell], threads: int) -> dict[str, str]:
    """Time and memory of each contestant once, with nothing beside it on the machine."""
    failures: dict[str, str] = {}
    for cell in cells:
        name, path = cell.contestant.name, out / "costs" / f"{cell.contestant.slug}.json"
        if cell.seed != 0 or not cell.result.exists() or path.exists():
            continue
        try:
            cost = measured("step", cell.folder, "" if cell.data_root is None else str(cell.data_root), str(threads))
        except RunError as error:
            failures[f"{name}, time and memory"] = str(error)
            continue
        write_json(path, {"mixer": name, "threads": threads, **cost, "machine": describe_machine()})
    return failures


def growth(
    plan: Plan,
    mixers: str,
    channels: str | None,
    lengths: Sequence[int],
    *,
    out: Path,
    threads: int | None = None,
    seconds_allowed: float = 120.0,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> dict[str, Any]:
    """How time, memory and counted cost of the recipe's trunk grow with the number of tokens, mixer by mixer.

    Lengths that would take longer than `seconds_allowed`, by the growth so far, are left out and named. Points that
    `out` has already are kept.

    Raises:
        RunError: `out` holds the growth of another model.
    """
    config = resolve_recipe(plan.recipe, plan.all_overrides).config
    entrants = admitted(config, plan, mixers, channels)
    threads = threads or torch.get_num_threads()
    rows: list[dict[str, Any]] = []
    for entrant in entrants.accepted:
        folder = out / "growth" / entrant.slug
        resolved = resolve_recipe(plan.recipe, [*plan.all_overrides, *entrant.overrides])
        _keep_model(RunFolder(folder), resolved)
        for length in sorted(lengths):
            say(f"{entrant.name}: {length} tokens")
            rows.append(_growth_cell(folder, entrant.name, length, threads, rows, seconds_allowed))
    return {
        "recipe": plan.recipe,
        "settings": plan.record()["settings"],
        "threads": threads,
        "machine": describe_machine(),
        "rows": rows,
        "left_out": entrants.refused,
    }


def _keep_model(folder: RunFolder, resolved: Resolved[RunConfig]) -> None:
    """Write the configuration that a folder's points belong to, or see that it is the one written before."""
    if folder.config.exists():
        different = [path for path in changed(load_config(folder).config, resolved.config) if path.startswith("model.")]
        if different:
            raise RunError(
                f"{folder.path} holds the growth of another model ({', '.join(different)}). Give another --out."
            )
    write_config(folder, resolved.config, dict(resolved.origins))


def _growth_cell(
    folder: Path, name: str, length: int, threads: int, rows: Sequence[dict[str, Any]], allowed: float
) -> dict[str, Any]:
    path = folder / f"{length}-threads{threads}.json"
    if path.exists():
        return read_json(path)
    expected = _expected_seconds([row for row in rows if row["mixer"] == name], length)
    if expected > allowed:
        return {"mixer": name, "length": length, "skipped": f"would take about {expected:.0f} s a step"}
    try:
        row = {"mixer": name, "length": length, **measured("trunk", folder, str(length), str(threads))}
    except RunError as error:
        return {"mixer": name, "length": length, "skipped": str(error)}
    write_json(path, row)
    return row


def _expected_seconds(rows: Sequence[dict[str, Any]], length: int) -> float:
    """Time of the longest length so far, scaled by the square of the lengths: no mixer grows faster."""
    if not rows:
        return 0.0
    last = rows[-1]
    return last.get("both_seconds", float("inf")) * (length / last["length"]) ** 2
