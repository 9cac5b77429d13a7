"""Is MedMamba-T here the published network, and what does a training step cost beside the released code?

Both get the same weights and images and must give the same scores and gradients: theirs in single precision lies as
near to ours in double precision as ours in single precision does. Then each side runs forward and backward passes in
fresh processes on one thread, taking turns; the median of CPU seconds counts, and the largest peak of memory. The
released code has no scan for a CPU, so it gets a plain one, token after token; see benchmarks/peers/medical.py. In the
cell `cost` that one is as fast as such a loop can be; in `cost-indexed` it takes its slices by index, one pass.

    python benchmarks/medical_medmamba.py --checkout CHECKOUT [exact] [cost] [cost-indexed]
"""

import argparse
import json
import os
import runpy
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from armillary.core.testing import relative_rms
from armillary.domains.medical.systems.medmamba import MedMamba
from armillary.domains.medical.systems.settings import MedMambaSettings
from armillary.pipelines.folder import describe_machine

QUESTION = "Is MedMamba-T here the published network, and what does a training step cost beside the released code?"
WORKER = Path(__file__).parent / "peers" / "medical.py"
RESULT = Path(__file__).parent / "results" / "medical-medmamba.json"
ROUNDS = 3
CALLS = 2  # in each process, after one that is not counted
VALUES = ("scores", "gradient of the image")
# Their four scans by ours: they go along columns, along rows, and both from the end.
SCANS = ("forwards.1", "forwards.0", "backwards.1", "backwards.0")

Weights = Mapping[str, Tensor]


def network(theirs: Weights) -> dict[str, Tensor]:
    """Weights, or gradients, of the released network by the names of ours."""
    found = {
        "embed.patches.project.weight": theirs["patch_embed.proj.weight"].permute(0, 2, 3, 1).flatten(1),
        "embed.patches.project.bias": theirs["patch_embed.proj.bias"],
        "head.classify.weight": theirs["head.weight"],
        "head.classify.bias": theirs["head.bias"],
        **_norm(theirs, "patch_embed.norm", "embed.norm"),
    }
    for stage, block in _blocks(theirs):
        there, here = f"layers.{stage}.blocks.{block}", f"trunk.stages.{stage}.blocks.{block}.mixer"
        found |= _scan(theirs, f"{there}.self_attention", f"{here}.scan")
        found |= _convolutions(theirs, f"{there}.conv33conv33conv11", f"{here}.convolve")
        found |= _norm(theirs, f"{there}.ln_1", f"{here}.norm")
    for stage in range(3):
        found |= _merge(theirs, f"layers.{stage}.downsample", f"trunk.stages.{stage + 1}.resample")
    return found


def _blocks(theirs: Weights) -> Iterator[tuple[int, int]]:
    for stage in range(4):
        block = 0
        while f"layers.{stage}.blocks.{block}.ln_1.weight" in theirs:
            yield stage, block
            block += 1


def _norm(theirs: Weights, there: str, here: str) -> dict[str, Tensor]:
    return {f"{here}.{name}": theirs[f"{there}.{name}"] for name in ("weight", "bias")}


def _scan(theirs: Weights, there: str, here: str) -> dict[str, Tensor]:
    found = {f"{here}.{name}.weight": theirs[f"{there}.{name}.weight"] for name in ("in_proj", "out_proj")}
    found |= _norm(theirs, f"{there}.out_norm", f"{here}.norm") | _norm(theirs, f"{there}.conv2d", f"{here}.conv")
    split = {"x_proj.weight": "x_proj_weight", "dt_proj.weight": "dt_projs_weight", "dt_bias": "dt_projs_bias"}
    split |= {"A_log": "A_logs", "D": "Ds"}
    for own, name in split.items():
        stacked = theirs[f"{there}.{name}"]
        stacked = stacked if len(stacked) == len(SCANS) else stacked.unflatten(0, (len(SCANS), -1))
        found |= {f"{here}.{direction}.{own}": one for direction, one in zip(SCANS, stacked, strict=True)}
    return found


def _convolutions(theirs: Weights, there: str, here: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for index, place in enumerate((0, 2, 5)):
        found |= _norm(theirs, f"{there}.{place}", f"{here}.norms.{index}")
    for index, place in enumerate((1, 4, 7)):
        found |= _norm(theirs, f"{there}.{place}", f"{here}.convolutions.{index}")
    return found


def _merge(theirs: Weights, there: str, here: str) -> dict[str, Tensor]:
    """Their blocks of four go down the columns first, ours along the rows."""

    def turned(values: Tensor) -> Tensor:
        return values.unflatten(-1, (2, 2, -1)).transpose(-3, -2).flatten(-3)

    names = {"project.weight": "reduction.weight", "norm.weight": "norm.weight", "norm.bias": "norm.bias"}
    return {f"{here}.{own}": turned(theirs[f"{there}.{name}"]) for own, name in names.items()}


def run_exact(checkout: str) -> dict[str, Any]:
    """Relative RMS differences from ours in double precision."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "theirs.pt"
        _call(["compare", checkout, str(path)])
        theirs = torch.load(path)
    values = dict(zip(VALUES, (theirs["scores"], theirs["image_gradient"]), strict=True))
    found = values | network(theirs["gradients"])
    exact, single = (_ours(theirs, precision) for precision in (torch.float64, torch.float32))
    assert exact.keys() == found.keys(), f"no counterpart: {sorted(exact.keys() ^ found.keys())}"
    return {
        "images": list(theirs["image"].shape),
        "mode": "training, without drop path",
        "parameters": {"peer": theirs["parameters"], "armillary": _size(exact)},
        "theirs in float32 from ours in float64": _differences(found, exact),
        "ours in float32 from ours in float64": _differences(single, exact),
    }


def _ours(theirs: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    """Scores and gradients of ours with their weights."""
    module = MedMamba(MedMambaSettings(drop_path=0.0), theirs["scores"].shape[1], 3, theirs["image"].shape[2:])
    weights = network(theirs["weights"])
    module.load_state_dict(dict(module.state_dict()) | weights)
    module.to(dtype).train()
    image = theirs["image"].to(dtype).requires_grad_()
    scores = module(image)
    scores.backward(theirs["upstream"].to(dtype))
    named = {name: cast(Tensor, parameter.grad) for name, parameter in module.named_parameters()}
    return dict(zip(VALUES, (scores.detach(), cast(Tensor, image.grad)), strict=True)) | named


def _size(values: Mapping[str, Tensor]) -> int:
    return sum(one.numel() for name, one in values.items() if name not in VALUES)


def _differences(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> dict[str, Any]:
    slopes = [name for name in others if name not in VALUES]
    whole = (torch.cat([part[name].double().flatten() for name in slopes]) for part in (some, others))
    return {
        **{name: relative_rms(some[name], others[name]) for name in VALUES},
        "gradient of all parameters": relative_rms(*whole),
    }


def run_cost(checkout: str) -> dict[str, Any]:
    """CPU seconds and peak memory of both sides, and how many times as much the released code takes."""
    sides = ("peer", "armillary")
    answers: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side in sides:
            answers[side].append(_measured(side, checkout, 1 + CALLS))
    return _told(*(_summary(answers[side], first=1) for side in sides)) | {"rounds": ROUNDS}


def run_indexed(checkout: str) -> dict[str, Any]:
    """The same with the slow loop, in one round: its first and only pass takes minutes."""
    theirs, own = _measured("peer-indexed", checkout, 1), _measured("armillary", checkout, 1 + CALLS)
    return _told(_summary([theirs], first=0), _summary([own], first=1)) | {"rounds": 1}


def _measured(side: str, checkout: str, calls: int) -> dict[str, Any]:
    print(f"  {side} ...", flush=True)
    return json.loads(_call(["cost", side, checkout, str(calls)]).splitlines()[-1])


def _told(theirs: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    worker = runpy.run_path(str(WORKER))
    return {
        "pass": "forward and backward, training, drop path 0.1",
        "images": [worker["BATCH"], 3, worker["SIZE"], worker["SIZE"]],
        "times as fast": round(theirs["cpu_s"] / own["cpu_s"], 2),
        "share of the memory": round(own["peak_bytes"] / theirs["peak_bytes"], 3),
        "sides": {"peer": theirs, "armillary": own},
    }


def _summary(rounds: Sequence[Mapping[str, Any]], first: int) -> dict[str, Any]:
    """Median over the calls of all rounds from the first that counts on, and the largest peak."""
    times = [time for answer in rounds for time in answer["cpu_s"][first:]]
    return {
        "cpu_s": statistics.median(times),
        "cpu_s_all": times,
        "wall_s_all": [time for answer in rounds for time in answer["wall_s"][first:]],
        "peak_bytes": max(answer["peak_bytes"] for answer in rounds),
        "resident_before_bytes": rounds[0]["resident_before_bytes"],
        "parameters": rounds[0]["parameters"],
    }


def _call(arguments: Sequence[str]) -> str:
    """The standard output of the worker, on one thread."""
    done = subprocess.run(
        [sys.executable, str(WORKER), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the worker ended with {done.returncode}: {' '.join(arguments)}")
    return done.stdout


CELLS = {"exact": run_exact, "cost": run_cost, "cost-indexed": run_indexed}


def main() -> None:
    """Runs the cells that are named, or all that are missing, and writes each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", choices=[*CELLS, []], help="default: all that are missing")
    parser.add_argument("--checkout", required=True, help="the released code")
    parser.add_argument("--again", action="store_true", help="run finished cells again")
    options = parser.parse_args()
    told = ["CHECKOUT" if word == options.checkout else word for word in sys.argv[1:]]
    command = shlex.join(["python", "benchmarks/medical_medmamba.py", *told])
    for name in options.cells or CELLS:
        stored = json.loads(RESULT.read_text()) if RESULT.exists() else {"question": QUESTION, "cells": {}}
        if name in stored["cells"] and not options.again:
            continue
        load = os.getloadavg()
        print(f"{name} ...", flush=True)
        result = CELLS[name](options.checkout)
        machine = describe_machine() | {"threads": 1, "command": None}
        stored["cells"][name] = result | {"machine": machine, "load_average_before": load, "command": command}
        RESULT.write_text(json.dumps(stored, indent=1) + "\n")
        print(json.dumps({key: result[key] for key in result if key != "sides"}, indent=1), flush=True)


if __name__ == "__main__":
    main()
