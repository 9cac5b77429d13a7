"""Time and memory of a model on this machine, each measured in a fresh process so that nothing before it counts."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from armillary.core.errors import RunError
from armillary.core.tokens import Grid, Tokens
from armillary.core.trunk import Trunk
from armillary.pipelines.config import load_config
from armillary.pipelines.folder import RunFolder
from armillary.pipelines.module import TrainingModule
from armillary.pipelines.peak_memory import peak_memory
from armillary.pipelines.plugins import load_domain
from armillary.pipelines.run import Run
from armillary.pipelines.training import build_model

_REPEATS, _WARM_UP = 7, 2
_SECONDS = 20.0  # slow steps are repeated less often


def measured(what: str, folder: Path, *arguments: str) -> dict[str, float]:
    """What `what` ("step" or "trunk") gives for the configuration in a run folder, from a process of its own.

    Raises:
        RunError: the process failed, with the last line that it wrote.
    """
    command = [sys.executable, "-m", "armillary.pipelines.measure", what, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}, out of memory?"])[-1]
        raise RunError(f"measuring {folder} failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def step(folder: Path, data_root: str, threads: str) -> dict[str, float]:
    """Training step and inference on the first training batch of a run.

    step_seconds: loss, backward and optimiser; items_per_second: prediction without gradients;
    peak_bytes: memory that training steps add to the process that holds model and data.
    """
    torch.set_num_threads(int(threads))
    run = Run.load(folder, data_root=data_root or None)
    items, config = run.items("train"), run.config
    batch = items.collate([items[(0, index)] for index in range(min(config.train.batch_size, len(items)))])
    model = build_model(run.domain, config)
    model.fit(items)  # pyright: ignore[reportCallIssue]
    module = TrainingModule(model, config, 1000)

    def train() -> None:
        module.optimiser.zero_grad()
        model.loss(batch, torch.Generator().manual_seed(0))["total"].backward()  # pyright: ignore[reportCallIssue]
        module.optimiser.step()

    def predict() -> None:
        with torch.no_grad():
            for _ in model.predict(batch, config.predict):  # pyright: ignore[reportCallIssue]
                pass

    memory = _Memory()
    step_seconds = _median(train)
    peak = memory.added()
    model.eval()
    size = len(batch["index"])
    return {"step_seconds": step_seconds, "items_per_second": size / _median(predict), "peak_bytes": peak}


def trunk(folder: Path, length: str, threads: str) -> dict[str, float]:
    """One row of random tokens through the trunk of a configuration.

    forward_seconds, both_seconds: without gradients, and with the backward pass; mac: counted multiply-adds of the
    mixers; peak_bytes: memory that the backward pass adds.
    """
    torch.set_num_threads(int(threads))
    config = load_config(RunFolder(folder)).config
    domain = load_domain(config.domain)
    model = _trunk(build_model(domain, config))
    tokens = _tokens(int(length), model.width, domain.trunk_needs(config).grid_rank)

    def forward() -> None:
        with torch.no_grad():
            model(tokens)

    def both() -> None:
        values: Tensor = model(tokens)[0].values
        values.sum().backward()

    model.eval()
    memory = _Memory()
    both_seconds = _median(both)
    peak = memory.added()
    mac = _mixing(model, forward)
    return {"forward_seconds": _median(forward), "both_seconds": both_seconds, "mac": mac, "peak_bytes": peak}


def _mixing(model: Trunk, forward: Callable[[], None]) -> float:
    """Counted multiply-adds of the mixers in one pass: each as often as it is applied, at the length it then sees."""
    counts: list[float] = []

    def count(mixer: Any, inputs: tuple[Any, ...], output: Any) -> None:
        tokens: Tokens = inputs[0]
        counts.append(mixer.cost(*tokens.values.shape[:2], tokens.grid))

    mixers = [block.mixer for block in model.blocks() if isinstance(block.mixer, nn.Module)]
    handles = [mixer.register_forward_hook(count) for mixer in mixers]
    forward()
    for handle in handles:
        handle.remove()
    return sum(counts)


def _trunk(model: nn.Module) -> Trunk:
    found = next((module for module in model.modules() if isinstance(module, Trunk)), None)
    if found is None:
        raise RunError("this recipe's network has no trunk; growth with length is measured on one.")
    return found


def _tokens(length: int, width: int, rank: int) -> Tokens:
    values = torch.randn(1, length, width, generator=torch.Generator().manual_seed(0))
    if rank < 2:
        return Tokens(values)
    extent = round(length ** (1 / rank))
    return Tokens(values[:, : extent**rank], grid=Grid((extent,) * rank, (False,) * rank))


def _median(call: Callable[[], None]) -> float:
    """Median wall time of a call [s], after warming up."""
    seconds: list[float] = []
    start = time.perf_counter()
    while len(seconds) < _REPEATS + _WARM_UP:
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
        if time.perf_counter() - start > _SECONDS and len(seconds) >= 2:
            break
    return statistics.median(seconds[min(_WARM_UP, len(seconds) - 1) :])


class _Memory:
    """The most memory that this process comes to hold beyond what it held at first."""

    def __init__(self) -> None:
        self._status = Path("/proc/self/status")
        try:
            # Linux then forgets the peak of loading and building.
            Path("/proc/self/clear_refs").write_text("5")
            self._start = self._read("VmRSS")
        except OSError:
            self._start = peak_memory() or 0.0

    def added(self) -> float:
        """Peak less start [byte]."""
        try:
            return self._read("VmHWM") - self._start
        except OSError:
            return peak_memory() or 0.0 - self._start

    def _read(self, field: str) -> float:
        for line in self._status.read_text().splitlines():
            if line.startswith(field + ":"):
                return 1024.0 * float(line.split()[1])
        raise OSError(f"{self._status} has no {field}")


if __name__ == "__main__":
    _WHAT: dict[str, Callable[..., dict[str, Any]]] = {"step": step, "trunk": trunk}
    print(json.dumps(_WHAT[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])))
