"""Runs a case's call, ours or a peer's: the first output of one call, and the seconds of many."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from armillary.pipelines.bench import forced, forward_pass, seconds_a_call, training_pass
from armillary.pipelines.bench_examples import Example
from op_cases.case import Case, Here, There

WORKER = Path(__file__).parents[1] / "peers" / "ops.py"


class Runner(Protocol):
    """One side of a comparison."""

    versions: Mapping[str, str]

    def seconds(self, calls: int) -> float:
        """Mean of so many calls in a row [s]."""
        ...

    def output(self) -> Tensor:
        """What a call gives."""
        ...

    def close(self) -> None: ...


class InProcess:
    """Runs in this process: ours with an override of the tiers, or a peer that is installed here."""

    def __init__(self, example: Example, backward: bool, override: str | None = None) -> None:
        self.example, self.override = example, override
        self.versions: Mapping[str, str] = {}
        with self._tier():
            self.call: Callable[[], Any] = (training_pass if backward else forward_pass)(example)

    def seconds(self, calls: int) -> float:
        with self._tier():
            return seconds_a_call(self.call, calls)

    def output(self) -> Tensor:
        with self._tier(), torch.no_grad():
            return self.example()[0]

    def close(self) -> None:
        del self.call, self.example

    def _tier(self) -> AbstractContextManager[None]:
        return nullcontext() if self.override is None else forced(self.override)


class PeerMissing(RuntimeError):
    """A peer that is not there, or whose process ended."""


class Worker:
    """A peer in its own environment, alive over all rounds and asleep between them."""

    def __init__(self, python: str, peer: There, inputs: Mapping[str, Tensor], threads: int, folder: Path) -> None:
        path, self.result, self.told = folder / "inputs.npz", folder / "result.npz", folder / "stderr.txt"
        folder.mkdir()
        np.savez(path, **{name: tensor.detach().numpy() for name, tensor in inputs.items()})
        options = json.dumps(dict(peer.options))
        theirs = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self.told.open("w") as told:  # a pipe that nobody reads would fill and stop the peer
            self.process = subprocess.Popen(
                [python, str(WORKER), peer.peer, str(path), options, str(threads), str(self.result)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                env=theirs | {"OMP_NUM_THREADS": str(threads)},
            )
        self.versions: Mapping[str, str] = json.loads(self._answer())
        path.unlink()

    def seconds(self, calls: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def output(self) -> Tensor:
        with np.load(self.result) as found:
            return torch.from_numpy(found["output"])

    def close(self) -> None:
        self.process.communicate()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.communicate()
            lines = self.told.read_text().strip().splitlines()
            raise PeerMissing(lines[-1] if lines else "its process ended without a word")
        return line


def peer_runner(case: Case, peer: Here | There, python: str | None, threads: int, folder: Path) -> Runner:
    """The peer on our inputs.

    Raises:
        PeerMissing: it needs an environment that was not given, or does not run in it.
    """
    example = case.example()
    inputs = peer.adapt(example.inputs)
    if isinstance(peer, Here):
        return InProcess(Example(peer.function, inputs), case.backward)
    if python is None:
        raise PeerMissing("no environment of peers was given")
    if case.backward:
        torch.manual_seed(2)
        inputs["upstream"] = torch.randn_like(example()[0])
    return Worker(python, peer, inputs, threads, folder)
