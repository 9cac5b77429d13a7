"""Are MossFormer and MossFormer2 here the published networks, and what do they cost beside the released code?

Both get the same weights and inputs and must give the same values and gradients: to rounding in double precision, and
in single precision as far from those as the released code itself (cells of exactness). Then each side runs in fresh
processes on one thread, taking turns; the median of CPU seconds counts, and the peak of memory. A pass that does not
fit is recorded as such. Every cell is written when it ends, and finished ones are skipped. The released code lives in
an environment of its own, see benchmarks/peers/speech.txt:

    python benchmarks/speech_parity.py --peers PEERS/bin/python --checkout CHECKOUT [CELL ...]
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from armillary.core.config.mixers import FSMNSettings, GatedAttentionSettings
from armillary.core.config.parts import MIXERS, build_part
from armillary.core.config.settings import Settings
from armillary.core.testing import relative_rms
from armillary.core.tokens import Tokens
from armillary.domains.speech.systems import mask_trunk
from armillary.pipelines.folder import describe_machine

QUESTION = "Are MossFormer and MossFormer2 the published networks, and what do they cost beside the released code?"
WORKER = Path(__file__).parent / "peers" / "speech.py"
RESULT = Path(__file__).parent / "results" / "speech_parity.json"
WIDTH = 512

Weights = Mapping[str, Tensor]
Translate = Callable[[Weights], dict[str, Tensor]]


def conv_map(theirs: Weights, there: str, here: str) -> dict[str, Tensor]:
    """A projection with a convolution; theirs is a sequence of norm, linear map, SiLU, convolution and dropout."""
    norm = "0.g" if f"{there}.mdl.0.g" in theirs else "0.weight"
    found = {
        f"{here}.norm_scale": theirs[f"{there}.mdl.{norm}"],
        f"{here}.linear.weight": theirs[f"{there}.mdl.1.weight"],
        f"{here}.linear.bias": theirs[f"{there}.mdl.1.bias"],
        f"{here}.weight": theirs[f"{there}.mdl.3.sequential.1.conv.weight"].squeeze(1),
    }
    return found if norm == "0.g" else found | {f"{here}.norm_bias": theirs[f"{there}.mdl.0.bias"]}


def gated_attention(theirs: Weights, there: str = "", here: str = "") -> dict[str, Tensor]:
    """Weights, or gradients, of the released attention layer by the names of ours."""
    parts = {"to_hidden": "hidden", "to_qk": "query", "to_out": "out"}
    found = {
        f"{here}scales": theirs[f"{there}qk_offset_scale.gamma"],
        f"{here}shifts": theirs[f"{there}qk_offset_scale.beta"],
    }
    for name, own in parts.items():
        found |= conv_map(theirs, f"{there}{name}", f"{here}{own}")
    return found


def fsmn(theirs: Weights, there: str = "", here: str = "") -> dict[str, Tensor]:
    """Weights, or gradients, of the released memory module by the names of ours."""
    plain = {
        "conv1.0": "enter", "norm1": "enter_norm", "norm2": "leave_norm", "conv2": "leave",
        "gated_fsmn.fsmn.linear": "memory.read",
    }  # fmt: skip
    found = {
        f"{here}slope": theirs[f"{there}conv1.1.weight"],
        f"{here}memory.project.weight": theirs[f"{there}gated_fsmn.fsmn.project.weight"],
    }
    for name, own in plain.items():
        weight = theirs[f"{there}{name}.weight"]
        found[f"{here}{own}.weight"] = weight.squeeze(-1) if weight.ndim == 3 else weight
        found[f"{here}{own}.bias"] = theirs[f"{there}{name}.bias"]
    for name, own in {"to_u": "written", "to_v": "gate"}.items():
        found |= conv_map(theirs, f"{there}gated_fsmn.{name}", f"{here}{own}")
    place = 0
    while f"{there}gated_fsmn.fsmn.conv.conv{place + 1}.weight" in theirs:
        stack, layer = f"{there}gated_fsmn.fsmn.conv", f"{here}memory.layers.{place}"
        # Their groups read neighbouring channels, so each of these has its taps.
        found[f"{layer}.weight"] = theirs[f"{stack}.conv{place + 1}.weight"].flatten(0, 1).squeeze(-1)
        found[f"{layer}.norm.weight"] = theirs[f"{stack}.norm{place + 1}.weight"]
        found[f"{layer}.norm.bias"] = theirs[f"{stack}.norm{place + 1}.bias"]
        found[f"{layer}.norm.slopes"] = theirs[f"{stack}.prelu{place + 1}.weight"]
        place += 1
    return found


def network(theirs: Weights) -> dict[str, Tensor]:
    """Weights, or gradients, of a released network by the names of ours."""
    same = {
        "mask_net.norm.weight": "masker.norm_in.weight",
        "mask_net.norm.bias": "masker.norm_in.bias",
        "mask_net.pos_enc.scale": "masker.scale",
        "mask_net.mdl.intra_mdl.norm.weight": "masker.final_norm.weight",
        "mask_net.mdl.intra_mdl.norm.bias": "masker.final_norm.bias",
        "mask_net.mdl.intra_norm.weight": "masker.norm_out.weight",
        "mask_net.mdl.intra_norm.bias": "masker.norm_out.bias",
        "mask_net.prelu.weight": "masker.slope.weight",
    }
    points = {
        "conv1d_encoder": "project", "conv1d_out": "split", "output.0": "output", "output_gate.0": "gate",
        "conv1_decoder": "expand",
    }  # fmt: skip
    found = {own: theirs[name] for name, own in same.items()}
    for name, own in points.items():
        found[f"masker.{own}.weight"] = theirs[f"mask_net.{name}.weight"].squeeze(-1)
        if f"mask_net.{name}.bias" in theirs:
            found[f"masker.{own}.bias"] = theirs[f"mask_net.{name}.bias"]
    found["filterbank.analysis.weight"] = theirs["enc.conv1d.weight"].squeeze(1)
    found["filterbank.synthesis.weight"] = theirs["dec.weight"].squeeze(1).T
    stack, place = "mask_net.mdl.intra_mdl.mossformerM", 0
    with_memory = f"{stack}.fsmn.0.conv1.0.weight" in theirs
    while f"{stack}.layers.{place}.qk_offset_scale.gamma" in theirs:
        block = place * (2 if with_memory else 1)
        here = "masker.trunk.stages.0.blocks"
        found |= gated_attention(theirs, f"{stack}.layers.{place}.", f"{here}.{block}.mixer.")
        if with_memory:
            found |= fsmn(theirs, f"{stack}.fsmn.{place}.", f"{here}.{block + 1}.mixer.")
        place += 1
    return found


BLOCKS: Mapping[str, tuple[Settings, Translate]] = {
    "gated_attention": (GatedAttentionSettings(), gated_attention),
    "fsmn": (FSMNSettings(), fsmn),
}


@dataclass(frozen=True)
class Exact:
    """Do both give the same? `size`: tokens of a block, samples of a network."""

    model: str
    size: int


@dataclass(frozen=True)
class Cost:
    """What one pass costs each side; ours also with blocks that are computed again in the backward pass.

    rounds: fresh processes a side, taking turns; calls: in each, after one that is not counted. None: the first counts,
    where a second one would take minutes.
    """

    model: str
    kind: str
    seconds: float
    rounds: int = 3
    calls: int | None = 2


MODELS = ("mossformer-l", "mossformer2-l")
CELLS: dict[str, Exact | Cost] = {
    **{f"exact-{name}-{size}": Exact(name, size) for name in BLOCKS for size in (7, 256, 600)},
    **{f"exact-{name}-{size}": Exact(name, size) for name in MODELS for size in (8000,)},
    **{f"{name}-forward-2s": Cost(name, "forward", 2) for name in MODELS},
    **{f"{name}-training-2s": Cost(name, "training", 2) for name in MODELS},
    **{f"{name}-forward-30s": Cost(name, "forward", 30, rounds=1, calls=None) for name in MODELS},
    **{f"{name}-training-8s": Cost(name, "training", 8, rounds=1, calls=None) for name in MODELS},
    **{f"{name}-training-30s": Cost(name, "training", 30, rounds=1, calls=None) for name in MODELS},
}


def run_exact(cell: Exact, options: argparse.Namespace) -> dict[str, Any]:
    """Relative RMS differences in double precision, and of both sides in single precision from theirs in double."""
    torch.set_num_threads(1)
    found: dict[str, dict[str, Tensor]] = {}
    told: dict[str, Any] = {"model": cell.model, "size": cell.size}
    for precision in ("float64", "float32"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "theirs.pt"
            _call(options.peers, ["compare", options.checkout, cell.model, str(cell.size), precision, str(path)])
            theirs = torch.load(path)
        found[f"ours {precision}"], found[f"theirs {precision}"] = both(cell.model, theirs, getattr(torch, precision))
        told |= {"parameters_of_theirs": theirs["parameters"], "versions": theirs["versions"]}
    told["parameters_of_ours"] = sum(one.numel() for name, one in found["ours float64"].items() if name not in VALUES)
    exact = found["theirs float64"]
    told["difference_in_float64"] = differences(found["ours float64"], exact)
    told["error_of_ours_in_float32"] = differences(found["ours float32"], exact)
    told["error_of_theirs_in_float32"] = differences(found["theirs float32"], exact)
    return told


VALUES = ("output", "gradient of the input")


def both(model: str, theirs: Mapping[str, Any], dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Output and gradients of ours, and theirs by the same names."""
    module, translate = _ours(model)
    module = module.to(dtype)
    module.load_state_dict(dict(module.state_dict()) | translate(theirs["weights"]))
    given = theirs["given"].requires_grad_()
    with _sines_in(dtype):
        output = module(given)
    output.backward(theirs["upstream"])
    ours = {name: cast(Tensor, parameter.grad) for name, parameter in module.named_parameters()}
    slopes = translate(theirs["gradients"])
    assert ours.keys() == slopes.keys(), f"no counterpart: {sorted(ours.keys() ^ slopes.keys())}"
    values = dict(zip(VALUES, (output.detach(), cast(Tensor, given.grad)), strict=True))
    return values | ours, dict(zip(VALUES, (theirs["output"], theirs["given_gradient"]), strict=True)) | slopes


def differences(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> dict[str, Any]:
    """Relative RMS of the output, of the gradient of the input, and of the parameters' gradients, with the worst."""
    each = {name: relative_rms(some[name], other) for name, other in others.items()}
    slopes = {name: value for name, value in each.items() if name not in VALUES}
    worst = max(slopes, key=lambda name: slopes[name])
    whole = (torch.cat([part[name].double().flatten() for name in slopes]) for part in (some, others))
    return {
        **{name: each[name] for name in VALUES},
        "gradient of all parameters": relative_rms(*whole),
        "median of them": statistics.median(slopes.values()),
        "worst of them": {worst: slopes[worst]},
    }


@contextmanager
def _sines_in(dtype: torch.dtype) -> Iterator[None]:
    """In double precision, also the positions that are added to what the network takes in."""

    def sines(first: int, steps: int, width: int, device: torch.device | None = None) -> Tensor:
        rates = 10000.0 ** (-torch.arange(0, width, 2, device=device, dtype=dtype) / width)
        angles = torch.arange(first, first + steps, device=device, dtype=dtype).unsqueeze(-1) * rates
        return torch.cat((angles.sin(), angles.cos()), -1)[:, :width]

    before = mask_trunk.sines
    mask_trunk.sines = sines if dtype == torch.float64 else before
    yield
    mask_trunk.sines = before


def run_cost(cell: Cost, options: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds and peak memory of each side, and how many times as much the released code takes."""
    sides = {"peer": ("peer", cell.model), "armillary": ("armillary", cell.model)}
    if cell.kind == "training":
        sides["armillary recomputed"] = ("armillary", f"{cell.model} recomputed")
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for _ in range(cell.rounds):
        for name, (side, model) in sides.items():
            python = options.peers if side == "peer" else sys.executable
            calls = str(1 if cell.calls is None else 1 + cell.calls)
            arguments = ["cost", side, options.checkout, model, cell.kind, str(cell.seconds), calls, str(options.limit)]
            answers[name].append(json.loads(_call(python, arguments).splitlines()[-1]))
    found = {name: _summary(rounds, cell.calls is not None) for name, rounds in answers.items()}
    told = {"model": cell.model, "pass": cell.kind, "audio_s": cell.seconds, "limit_gib": options.limit, "sides": found}
    theirs = found["peer"]
    for name in sides:
        own = found[name]
        if name != "peer" and "cpu_s" in own and "cpu_s" in theirs:
            told[f"{name}: times as fast"] = round(theirs["cpu_s"] / own["cpu_s"], 2)
            told[f"{name}: share of the memory"] = round(own["peak_bytes"] / theirs["peak_bytes"], 2)
    return told


def _summary(rounds: Sequence[Mapping[str, Any]], warm: bool) -> dict[str, Any]:
    """Median of the counted calls of all rounds; a call that did not fit in memory has no time."""
    if any(answer.get("out_of_memory") for answer in rounds):
        return {"out_of_memory": True}
    times = [time for answer in rounds for time in answer["cpu_s"][1 if warm else 0 :]]
    return {
        "cpu_s": statistics.median(times),
        "cpu_s_all": times,
        "wall_s_all": [time for answer in rounds for time in answer["wall_s"][1 if warm else 0 :]],
        "peak_bytes": max(answer["peak_bytes"] for answer in rounds),
        "resident_before_bytes": rounds[0]["resident_before_bytes"],
        "parameters": rounds[0]["parameters"],
        **({"versions": rounds[0]["versions"]} if "versions" in rounds[0] else {}),
    }


def _ours(model: str) -> tuple[nn.Module, Translate]:
    """What takes (2, tokens, width) or (1, samples), and how weights of the released code are named for it."""
    if model in BLOCKS:
        settings, translate = BLOCKS[model]
        return Plain(build_part(MIXERS, settings, WIDTH)).eval(), lambda theirs: _below("mixer", translate(theirs))
    worker = runpy.run_path(str(WORKER))
    return worker["ours"](model).eval(), network


class Plain(nn.Module):
    """A mixer of tensors instead of tokens."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, values: Tensor) -> Tensor:
        return self.mixer(Tokens(values))[0]


def _below(name: str, weights: Weights) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for key, value in weights.items()}


def _call(python: str, arguments: Sequence[str]) -> str:
    """The standard output of the worker, on one thread."""
    theirs = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(WORKER), *arguments], env=theirs | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"the worker ended with {done.returncode}: {' '.join(arguments)}")
    return done.stdout


def main() -> None:
    """Runs the cells that are named, or all that are missing, and writes each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", choices=[*CELLS, []], help="default: all that are missing")
    parser.add_argument("--peers", required=True, help="python of the peer's environment")
    parser.add_argument("--checkout", required=True, help="the released code")
    parser.add_argument("--limit", type=float, default=20.0, help="memory a side may take [GiB]")
    parser.add_argument("--again", action="store_true", help="run finished cells again")
    options = parser.parse_args()
    told = {options.peers: "PEERS/bin/python", options.checkout: "CHECKOUT"}
    command = shlex.join(["python", "benchmarks/speech_parity.py", *(told.get(word, word) for word in sys.argv[1:])])
    for name in options.cells or CELLS:
        stored = json.loads(RESULT.read_text()) if RESULT.exists() else {"question": QUESTION, "cells": {}}
        if name in stored["cells"] and not options.again:
            continue
        cell, load = CELLS[name], os.getloadavg()
        print(f"{name} ...", flush=True)
        result = run_exact(cell, options) if isinstance(cell, Exact) else run_cost(cell, options)
        machine = describe_machine() | {"threads": 1, "command": None}
        stored["cells"][name] = result | {"machine": machine, "load_average_before": load, "command": command}
        RESULT.write_text(json.dumps(stored, indent=1) + "\n")
        print(json.dumps({key: result[key] for key in result if key != "sides"}, indent=1), flush=True)


if __name__ == "__main__":
    main()
