"""How fast is each op on a CPU, beside the peers that do the same, and how far from the float64 oracle?

Ours and the peers take turns on the same inputs, float32; the median of the rounds counts. A case is measured only if
the tests of its op pass. Each case is written to the results when it ends; the others stay as they are. Peers live in
an environment of their own; without it only those that are in ours are measured:

    python -m venv PEERS && PEERS/bin/pip install -r benchmarks/peers/ops.txt   (and the checkout named in it)
    python benchmarks/ops.py --peers PEERS/bin/python [--only CASE ...] [--missing]
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from op_cases.case import Case, Deadline, Growth, Memory, Speed, Target
from op_cases.memory import peak_memory
from op_cases.runners import InProcess, PeerMissing, Runner, peer_runner
from op_cases.table import CASES
from rich import box
from rich.console import Console
from rich.table import Table

from armillary.core.ops.library import cpu_level, library_problem
from armillary.core.ops.table import OPS
from armillary.core.testing import relative_rms
from armillary.pipelines.bench import forced, outcome
from armillary.pipelines.folder import describe_machine

QUESTION = "How fast is each op on a CPU, beside the peers that do the same, and how far from the float64 oracle?"
ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "ops.json"
WIDTH = 160  # of the table [characters], where there is no terminal that is wider
ROUND_S = 0.1  # shorter calls are repeated until a round lasts so long


class TestsFail(RuntimeError):
    """The op is not shown to be right, so its speed is of no interest."""


def check_tests(op: str) -> str:
    """The closing line of the tests that name the op.

    Raises:
        TestsFail: one of them fails, or there is none.
    """
    folder = re.compile(rf"\b{OPS[op].reference.split('.')[3]}\b")
    files = sorted(path for path in (ROOT / "tests/core/ops").glob("test_*.py") if folder.search(path.read_text()))
    if not files:
        raise TestsFail(f"no test in tests/core/ops names {op}")
    return _run_tests(tuple(str(path.relative_to(ROOT)) for path in files))


@cache
def _run_tests(files: tuple[str, ...]) -> str:
    runner = [str(Path(sys.executable).parent / "pytest"), "-q", "-x", "--tb=line", "--show-capture=no"]
    command = [*runner, "-m", "not slow and not gpu", *files]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = (ended.stdout.strip() or ended.stderr.strip()).splitlines()
    if ended.returncode:
        raise TestsFail(f"its tests fail ({' '.join(files)}):\n" + "\n".join(lines[-4:]))
    return lines[-1]


def measure(name: str, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """The stored result of one case."""
    tests, threads = check_tests(case.op), case.threads or options.threads
    active = OPS[case.op].choose("cpu").tier
    with _threads(threads):
        with tempfile.TemporaryDirectory() as folder:
            runners, missing = start(case, active, options.peers, threads, Path(folder))
            rounds = take_turns(runners, options.rounds)
            agreement = _agreement(case, runners, ours(active))
            versions = {key: text for runner in runners.values() for key, text in runner.versions.items()}
            for runner in runners.values():
                runner.close()
        memory = memory_of(name, case, threads)
        errors = case_errors(case)
    return {
        "title": case.title,
        "op": case.op,
        "pass": "forward and backward" if case.backward else "forward",
        "shape": dict(case.sizes),
        "dtype": "float32",
        "threads": threads,
        "active": active,
        "seconds": {key: {"median": statistics.median(times), "rounds": times} for key, times in rounds.items()},
        "targets": [judge(target, rounds[ours(active)], rounds, memory) for target in case.targets],
        "memory_bytes": memory,
        "error": errors,
        "difference_from_peers": agreement,
        "peers_missing": missing,
        "tests": tests,
        "instructions": None if library_problem() else cpu_level(),
        "machine": describe_machine() | {"threads": threads, "command": None, "peers": versions},
        "load_average": os.getloadavg(),
        "command": options.command,
    }


def ours(tier: str) -> str:
    """The name of a tier of ours among the runners."""
    return f"armillary {tier}"


def start(
    case: Case, active: str, python: str | None, threads: int, folder: Path
) -> tuple[dict[str, Runner], dict[str, str]]:
    """Our tiers and the peers, ready to run; and why peers are missing."""
    overrides = {active: None} | ({} if active == "portable" else {"portable": "portable"})
    runners: dict[str, Runner] = {
        ours(tier): InProcess(case.example(), case.backward, override) for tier, override in overrides.items()
    }
    missing: dict[str, str] = {}
    for index, (name, peer) in enumerate(case.peers.items()):
        try:
            runners[name] = peer_runner(case, peer, python, threads, folder / str(index))
        except PeerMissing as reason:
            missing[name] = str(reason)
    return runners, missing


def take_turns(runners: Mapping[str, Runner], count: int) -> dict[str, list[float]]:
    """Seconds of a call by round; all take part in each round, one after another."""
    calls = {name: _calls(runner) for name, runner in runners.items()}
    rounds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(count):
        for name, runner in runners.items():
            rounds[name].append(runner.seconds(calls[name]))
    return rounds


def judge(
    target: Target, own: Sequence[float], rounds: Mapping[str, Sequence[float]], memory: Mapping[str, Any]
) -> dict[str, Any]:
    """What was asked, what was found, and whether that is enough; None where it could not be measured."""
    found: dict[str, Any] = {"target": target.text, "at_least": 1.0, "ratio": None, "reached": None}
    if isinstance(target, Speed):
        there = [name for name in target.peers if name in rounds]
        found["at_least"] = target.at_least
        if len(there) < len(target.peers):
            return found
        best = min(there, key=lambda name: statistics.median(rounds[name]))
        pairs = [theirs / mine for theirs, mine in zip(rounds[best], own, strict=True)]
        found |= {"against": best, "ratio": statistics.median(rounds[best]) / statistics.median(own)}
        found["ratio_of_rounds"] = [min(pairs), max(pairs)]
    elif isinstance(target, Deadline):
        found["ratio"] = target.seconds / statistics.median(own)
        found["ratio_of_rounds"] = [target.seconds / max(own), target.seconds / min(own)]
    elif isinstance(target, Memory):
        here = memory["here"]
        found["ratio"] = target.at_most * (here["inputs"] + here["outputs"]) / here["peak_above_inputs"]
    else:
        found["ratio"] = (
            target.at_most * memory[_label(target)]["peak_above_inputs"] / memory["here"]["peak_above_inputs"]
        )
    found["reached"] = found["ratio"] >= found["at_least"]
    return found


def memory_of(name: str, case: Case, threads: int) -> dict[str, Any]:
    """Peak memory at the case's sizes and at those that its targets name, where a target asks for it."""
    asked = [target for target in case.targets if isinstance(target, Memory | Growth)]
    others = {_label(target): target.sizes for target in asked if isinstance(target, Growth)}
    sizes: dict[str, Mapping[str, Any]] = {"here": {}, **others} if asked else {}
    return {label: peak_memory(name, one, threads) for label, one in sizes.items()}


def case_errors(case: Case) -> dict[str, Any]:
    """Relative error, root mean square, of each output and gradient against the float64 oracle."""
    example = case.judged_example()
    with _threads(1), forced("reference"):  # its thousands of small steps gain nothing from a second one
        expected = outcome(example.to(dtype=torch.float64))
    found = outcome(example.to(dtype=torch.float32))
    errors = {key: relative_rms(found[key], expected[key]) for key in expected}
    kinds = {kind: [error for key, error in errors.items() if key.startswith(kind)] for kind in ("output", "gradient")}
    worst = {f"worst_{kind}": max(values) for kind, values in kinds.items() if values}
    return {**worst, "sizes_other_than_timed": dict(case.judged), "each": errors}


def table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """Every target of every case, for people."""
    shown = Table(box=box.SIMPLE, title=QUESTION)
    for header in ("case", "pass", "ours [ms]", "target", "found", "reached", "error", "of gradients"):
        shown.add_column(header, justify="left" if header in ("case", "pass", "target") else "right")
    for name, result in results.items():
        own = result["seconds"][ours(result["active"])]["median"]
        errors = (result["error"].get(f"worst_{kind}") for kind in ("output", "gradient"))
        texts = ["-" if error is None else f"{error:.0e}" for error in errors]
        for target in result["targets"]:
            ratio = "-" if target["ratio"] is None else f"{target['ratio']:.3g} (of {target['at_least']:.3g})"
            reached = {True: "yes", False: "no", None: "not measured"}[target["reached"]]
            shown.add_row(name, result["pass"], f"{1e3 * own:.3g}", target["target"], ratio, reached, *texts)
    return shown


def _agreement(case: Case, runners: Mapping[str, Runner], own_name: str) -> dict[str, float]:
    """Relative difference of our values from those of peers that compute the same."""
    same = [peer for peer, how in case.peers.items() if how.same and peer in runners]
    if not same:
        return {}
    own = runners[own_name].output()
    found = {peer: runners[peer].output() for peer in same}
    return {
        peer: relative_rms(own if output.shape == own.shape else own.transpose(1, 2), output)
        for peer, output in found.items()
    }


def _calls(runner: Runner) -> int:
    runner.seconds(1)
    return max(1, round(ROUND_S / runner.seconds(1)))


def _label(target: Growth) -> str:
    return ", ".join(f"{name} {size}" for name, size in target.sizes.items())


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())["cases"] if path.exists() else {}


def write(path: Path, name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Puts one case into the results and keeps the others; returns all of them in the order of the table."""
    cases = {**_read(path), name: result}
    ordered = {key: cases[key] for key in CASES if key in cases}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"question": QUESTION, "cases": ordered}, indent=1) + "\n")
    partial.replace(path)
    return ordered


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, and itself as it is told in the results."""
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--peers", metavar="PYTHON", help="python of the peers' environment")
    parser.add_argument("--only", nargs="+", choices=sorted(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--missing", action="store_true", help="only cases that the results do not have yet")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    told = ["PEERS/bin/python" if word == options.peers else word for word in arguments]
    options.command = shlex.join(["python", "benchmarks/ops.py", *told])
    return options


def main() -> int:
    """Measures, writes and shows; one if a case was refused."""
    options, refused = parse(sys.argv[1:]), False
    console = Console(width=max(Console().width, WIDTH))
    chosen = [name for name in CASES if options.only is None or name in options.only]
    for name in chosen:
        if options.missing and name in _read(options.out):
            continue
        try:
            result = measure(name, CASES[name], options)
        except TestsFail as failure:
            console.print(f"{name} is not measured: {failure}", style="red", markup=False)
            refused = True
            continue
        write(options.out, name, result)
        console.print(table({name: result}))
    console.print(table(_read(options.out)))
    return int(refused)


if __name__ == "__main__":
    sys.exit(main())
