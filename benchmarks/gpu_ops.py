"""Which share of the roofline do the Triton kernels reach on an NVIDIA GPU, and how do they compare with peers?

    python benchmarks/gpu_ops.py --out gpu_ops.json [--only CASE ...]
    python benchmarks/gpu_ops.py --dry-run          every case once, tiny, in Triton's interpreter on a CPU

Each case is written when it ends. A peer that is not installed is named as missing.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

if "--dry-run" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is decorated, so before any of them is imported

import torch
from op_cases.gpu import CASES, GpuCase
from op_cases.roofline import Work, known, share

from armillary.core.testing import relative_rms
from armillary.pipelines.bench import forced, forward_pass, outcome, seconds_a_call, training_pass
from armillary.pipelines.bench_examples import EXAMPLES, Example
from armillary.pipelines.folder import describe_machine

QUESTION = "Which share of the roofline do the Triton kernels reach, and how do they compare with peers?"
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
WARM_UP, ROUNDS, FLUSHED_BYTES = 5, 20, 256 * 2**20  # a round starts with a cold cache: what it holds is written over


def inputs_of(case: GpuCase, sizes: Mapping[str, Any], device: str, dtype: torch.dtype) -> Example:
    """Our example on a device; parameters that stay in single precision are left."""
    example = EXAMPLES[case.op].example(**sizes)
    moved = {
        name: tensor.to(device, tensor.dtype if name in case.wide else dtype) for name, tensor in example.inputs.items()
    }
    return Example(example.function, moved, example.differentiable)


def measure(case: GpuCase, precision: str, sizes: Mapping[str, Any], device: str, rounds: int) -> dict[str, Any]:
    """Seconds, share of the roofline and error of both passes, and the seconds of every peer that is here."""
    dtype = DTYPES[precision]
    with forced(f"{case.op}=triton"):
        ours = _seconds(partial(inputs_of, case, sizes, device, dtype), rounds)
    record: dict[str, Any] = {"op": case.op, "dtype": precision, "shape": dict(sizes), "seconds": ours}
    record |= _roofline(case, sizes, ours, dtype)
    record["error"] = _error(case, device, dtype)
    record["peers"] = {name: _peer(case, name, sizes, device, dtype, rounds) for name in case.peers}
    record["times_faster"] = {
        name: {key: found["seconds"][key] / ours[key] for key in ours}
        for name, found in record["peers"].items()
        if "seconds" in found
    }
    return record


def _seconds(make: Callable[[], Example], rounds: int) -> dict[str, float]:
    """Medians of the forward pass and of forward and backward."""
    passes = {"forward": forward_pass, "forward and backward": training_pass}
    return {name: statistics.median(_rounds(one_pass(make()), rounds)) for name, one_pass in passes.items()}


def _rounds(call: Callable[[], Any], rounds: int) -> list[float]:
    if not torch.cuda.is_available():
        return [seconds_a_call(call, 1) for _ in range(rounds)]
    cache = torch.empty(FLUSHED_BYTES, dtype=torch.int8, device="cuda")
    for _ in range(WARM_UP):
        call()
    found: list[float] = []
    for _ in range(rounds):
        cache.zero_()
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        call()
        ended.record()
        torch.cuda.synchronize()
        found.append(began.elapsed_time(ended) / 1e3)
    return found


def _roofline(case: GpuCase, sizes: Mapping[str, Any], ours: Mapping[str, float], dtype: torch.dtype) -> dict[str, Any]:
    forward, backward = case.count(sizes, dtype.itemsize)
    device = known(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None
    both: tuple[tuple[str, Work, float, float], ...] = (
        ("forward", forward, ours["forward"], case.target[0]),
        ("backward", backward, ours["forward and backward"] - ours["forward"], case.target[1]),
    )
    found: dict[str, Any] = {}
    for name, work, seconds, target in both:
        one = share(work, seconds, device, half=dtype.itemsize == 2)
        reached = None if one["share_of_roofline"] is None else one["share_of_roofline"] >= target
        found[name] = one | {"target_share": target, "reached": reached}
    return {"roofline": found}


def _error(case: GpuCase, device: str, dtype: torch.dtype) -> dict[str, float]:
    """Relative error of each output and gradient against the float64 oracle on the same rounded inputs."""
    example = inputs_of(case, case.tiny if device == "cpu" else {**case.sizes, **case.judged}, device, dtype)
    exact = Example(example.function, {name: tensor.double().cpu() for name, tensor in example.inputs.items()})
    with forced(f"{case.op}=reference"):
        expected = outcome(exact)
    with forced(f"{case.op}=triton"):
        found = outcome(example)
    return {key: relative_rms(found[key].cpu(), expected[key]) for key in expected}


def _peer(
    case: GpuCase, name: str, sizes: Mapping[str, Any], device: str, dtype: torch.dtype, rounds: int
) -> dict[str, Any]:
    try:
        make = partial(case.peers[name], inputs_of(case, sizes, device, dtype).inputs, sizes)
        make()
    except ImportError as problem:
        return {"missing": str(problem)}
    if device == "cpu":
        return {"built": True}
    try:
        return {"seconds": _seconds(make, rounds)}
    except Exception as problem:
        # A peer may refuse a dtype, a shape or a device with any error; the other numbers are still wanted.
        return {"failed": f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--out", type=Path, help="JSON file; finished cases in it are kept")
    parser.add_argument("--only", nargs="+", choices=sorted(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--dry-run", action="store_true", help="tiny, on the CPU, in Triton's interpreter")
    return parser.parse_args(arguments)


def main() -> int:
    """Measures every case in both precisions; one if there is no GPU and none was asked to be rehearsed."""
    options = parse(sys.argv[1:])
    if not options.dry_run and not torch.cuda.is_available():
        print("gpu_ops: no NVIDIA GPU here; --dry-run rehearses on the CPU", file=sys.stderr)
        return 1
    device, rounds = ("cpu", 1) if options.dry_run else ("cuda", options.rounds)
    cases: dict[str, Any] = json.loads(options.out.read_text())["cases"] if _exists(options.out) else {}
    for name in options.only or CASES:
        case = CASES[name]
        for precision in DTYPES:
            sizes = {**EXAMPLES[case.op].timed, **(case.tiny if options.dry_run else case.sizes)}
            found = measure(case, precision, sizes, device, rounds)
            cases[f"{name}, {precision}"] = found
            print(json.dumps({"case": name, **found}), flush=True)
            if options.out is not None:
                record = {"question": QUESTION, "machine": describe_machine(), "cases": cases}
                options.out.write_text(json.dumps(record, indent=1) + "\n")
    return 0


def _exists(path: Path | None) -> bool:
    return path is not None and path.exists()


if __name__ == "__main__":
    sys.exit(main())
