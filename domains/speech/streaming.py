"""Separation of a stream: samples in, voices out as soon as no later sample can change them."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

_REMEMBERED = 100_000  # newest hops whose times make the percentile: half an hour of 20 ms


@runtime_checkable
class CausalNetwork(Protocol):
    """A network that takes a recording piece by piece. latency: samples that an estimate waits for at most."""

    @property
    def latency(self) -> int: ...

    def start(self, batch: int) -> Any: ...

    def step(self, samples: Float[Tensor, "b n"], state: Any) -> tuple[Float[Tensor, "b k m"], Any]: ...

    def finish(self, state: Any) -> Float[Tensor, "b k m"]: ...


class HopTimes:
    """What hops of a stream took: all count for number, mean and worst, the newest 100,000 for the percentile."""

    def __init__(self) -> None:
        self.count = self.late = 0
        self.total_s = self.worst_s = 0.0
        self._newest = deque[float](maxlen=_REMEMBERED)

    def add(self, seconds: float, allowed_s: float) -> None:
        """Adds a hop; one that took longer than `allowed_s`, its own length, is late."""
        self.count += 1
        self.late += seconds > allowed_s
        self.total_s += seconds
        self.worst_s = max(self.worst_s, seconds)
        self._newest.append(seconds)

    @property
    def mean_s(self) -> float:
        """Mean time of a hop [s]; 0 without hops."""
        return self.total_s / max(1, self.count)

    @property
    def percentile_99_s(self) -> float:
        """99 of 100 hops were faster or as fast [s]; 0 without hops."""
        return float(np.percentile(self._newest, 99)) if self._newest else 0.0


class Stream:
    """One recording through a causal network, from its first sample on.

    All voices that the calls give, and what `finish` gives in the end, are those of the whole recording. samples: so
    many were taken.
    """

    def __init__(self, network: CausalNetwork, rate_hz: int) -> None:
        self._network, self.rate_hz = network, rate_hz
        self.times, self.samples = HopTimes(), 0
        self._state = network.start(1)

    @property
    def latency(self) -> int:
        """Samples that the network waits for at most."""
        return self._network.latency

    def warm_up(self, hop: int) -> None:
        """Runs some hops of silence and forgets them: the first call of a program is slow."""
        with torch.inference_mode():
            state = self._network.start(1)
            for _ in range(3):
                _, state = self._network.step(torch.zeros(1, hop), state)

    def __call__(self, samples: Float32[np.ndarray, " n"]) -> Float32[np.ndarray, "k m"]:
        """Takes the next samples and gives those of the voices that are certain."""
        began = time.perf_counter()
        with torch.inference_mode():
            given, self._state = self._network.step(torch.from_numpy(samples)[None], self._state)
            voices = given[0].numpy()
        self.samples += len(samples)
        self.times.add(time.perf_counter() - began, len(samples) / self.rate_hz)
        return voices

    def finish(self) -> Float32[np.ndarray, "k m"]:
        """The voices of the samples that are still held back."""
        with torch.inference_mode():
            return self._network.finish(self._state)[0].numpy()


def hops(blocks: Iterable[Float32[np.ndarray, " _"]], size: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """The samples of the blocks, `size` at a time; what is left comes last."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // size * size
        for start in range(0, whole, size):
            yield rest[start : start + size].copy()
        rest = rest[whole:]
    if len(rest):
        yield rest
