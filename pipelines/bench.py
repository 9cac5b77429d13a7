"""Times every tier of every op on this machine, forward and backward, beside its error against the float64 oracle."""

import os
import statistics
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from armillary.core.errors import ConfigError, near_miss
from armillary.core.ops.dispatch import OVERRIDE, Op, Tier
from armillary.core.ops.table import OPS
from armillary.core.testing import relative_rms
from armillary.pipelines.bench_examples import EXAMPLES, Entry, Example

ROUND_S = 0.02  # a round lasts at least so long, so that the clock's grain and one interrupt do not count


def bench(names: Sequence[str] = (), repeats: int = 5, threads: int | None = None) -> list[dict[str, Any]]:
    """One row for each op and each tier that can run here: median milliseconds of a call and relative errors.

    names: ops, or all of them. repeats: rounds of which the median counts. threads: of the CPU; None leaves torch's.

    Raises:
        ConfigError: an unknown op, or repeats or threads below one.
    """
    for name in names:
        if name not in OPS:
            raise ConfigError(f"bench: '{name}' is no op{near_miss(name, OPS)}")
    for what, count in (("repeats", repeats), ("threads", threads)):
        if count is not None and count < 1:
            raise ConfigError(f"bench: {what} is {count}, expected at least 1.")
    with _threads(threads):
        return [row for name in names or OPS for row in _rows(name, repeats)]


def bench_table(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """The rows as lines of a table, its header first. Errors are relative, root mean square, against the oracle."""
    lines = [["op", "shape", "tier (* chosen)", "forward [ms]", "and backward [ms]", "error", "of gradients"]]
    for row in rows:
        shape = " ".join(f"{name}={_size(size)}" for name, size in row["shape"].items())
        tier = f"{row['tier']} ({row['device']})" + (" *" if row["active"] else "")
        times = [_number(row[key], ".3g") for key in ("forward_ms", "forward_backward_ms")]
        errors = [_number(row[key], ".0e") for key in ("value_error", "gradient_error")]
        lines.append([row["op"], shape, tier, *times, *errors])
    return lines


def _rows(name: str, repeats: int) -> list[dict[str, Any]]:
    op, entry = OPS[name], EXAMPLES[name]
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    rows: list[dict[str, Any]] = []
    for device in devices:
        active = op.choose(device).tier
        for tier in serving(op, device):
            with forced(f"{name}={tier}"):
                times = _times(entry.example().to(device=device), repeats)
            rows.append(
                {"op": name, "tier": tier, "device": device, "active": tier == active, "shape": dict(entry.timed)}
                | times
                | _worst(errors(name, tier, entry, device))
            )
    return rows


def serving(op: Op, device: str) -> list[Tier]:
    """The tiers that can run float32 on a device: neither the oracle nor Triton's interpreter on a CPU is one."""
    idle = ("reference", "triton") if device == "cpu" else ("reference",)
    return [tier for tier in op.tiers if tier not in idle and op.problem(tier, device, torch.float32) is None]


@contextmanager
def forced(text: str) -> Generator[None]:
    """Inside, ARMILLARY_OPS has this value."""
    before = os.environ.get(OVERRIDE)
    os.environ[OVERRIDE] = text
    try:
        yield
    finally:
        if before is None:
            del os.environ[OVERRIDE]
        else:
            os.environ[OVERRIDE] = before


def forward_pass(example: Example) -> Callable[[], Any]:
    """A call without arguments, outside the gradient."""

    def call() -> Any:
        with torch.no_grad():
            return example()

    return call


def training_pass(example: Example) -> Callable[[], Any]:
    """A call without arguments: forward, and the gradient of every input for a random one of the first output."""
    leaves = [leaf.requires_grad_() for leaf in example.leaves]
    upstream = torch.randn_like(example()[0])

    def call() -> Any:
        return torch.autograd.grad(example()[0], leaves, upstream)

    return call


def seconds_a_call(call: Callable[[], Any], calls: int, device: str = "cpu") -> float:
    """Mean of so many calls in a row [s]."""
    _finish(device)
    began = time.perf_counter()
    for _ in range(calls):
        call()
    _finish(device)
    return (time.perf_counter() - began) / calls


def calls_a_round(call: Callable[[], Any], device: str = "cpu") -> int:
    """How many calls fill a round; they are the warm-up."""
    seconds_a_call(call, 1, device)
    return max(1, round(ROUND_S / seconds_a_call(call, 1, device)))


def errors(name: str, tier: Tier, entry: Entry, device: str = "cpu") -> dict[str, float]:
    """Relative error of each output and gradient of a tier against the oracle, at the sizes for that."""
    example = entry.example(**entry.judged)
    with forced(f"{name}=reference"):
        expected = outcome(example.to(dtype=torch.float64))
    with forced(f"{name}={tier}"):
        found = outcome(example.to(device=device))
    return {key: relative_rms(found[key].cpu(), expected[key]) for key in expected}


def outcome(example: Example) -> dict[str, Tensor]:
    """All outputs, and the gradient of each input for random gradients of all outputs."""
    leaves = {name: leaf for name, leaf in example.inputs.items() if leaf.is_floating_point()}
    for leaf in leaves.values():
        leaf.requires_grad_(example.differentiable)
    with torch.set_grad_enabled(example.differentiable):
        outputs = example()
    found = {f"output {index}": output.detach() for index, output in enumerate(outputs)}
    if example.differentiable:
        generator = torch.Generator().manual_seed(1)
        upstream = [
            torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output) for output in outputs
        ]
        gradients = torch.autograd.grad(outputs, list(leaves.values()), upstream)
        found |= {f"gradient {name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
    return found


def _times(example: Example, repeats: int) -> dict[str, float | None]:
    forward = _milliseconds(forward_pass(example), repeats, example)
    both = _milliseconds(training_pass(example), repeats, example) if example.differentiable else None
    return {"forward_ms": forward, "forward_backward_ms": both}


def _milliseconds(call: Callable[[], Any], repeats: int, example: Example) -> float:
    device = example.leaves[0].device.type
    calls = calls_a_round(call, device)
    return 1e3 * statistics.median(seconds_a_call(call, calls, device) for _ in range(repeats))


def _worst(found: Mapping[str, float]) -> dict[str, float | None]:
    gradients = [error for key, error in found.items() if key.startswith("gradient")]
    values = [error for key, error in found.items() if key.startswith("output")]
    return {"value_error": max(values), "gradient_error": max(gradients) if gradients else None}


@contextmanager
def _threads(count: int | None) -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _size(size: Any) -> str:
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)
