"""Pools of recordings that mixtures are drawn from: voices with their speakers, or noises."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

BOUND_BYTES = 256 * 2**20


@runtime_checkable
class VoicePool(Protocol):
    """n recordings at one rate; can be pickled, and opens files where they are asked for.

    ids: name of each; speaker: who speaks (for a noise: the recording, so that parts of it are told apart);
    sex: "F", "M" or "" each; lengths: samples at `sample_rate_hz`; `load` may give a few samples more or less.
    """

    ids: np.ndarray
    speaker: np.ndarray
    sex: np.ndarray
    lengths: Int64[np.ndarray, " n"]
    sample_rate_hz: int

    def load(self, index: int, start: int = 0, stop: int | None = None) -> Float32[np.ndarray, " t"]:
        """Samples from `start` to `stop` (None: the end) of recording `index`, one channel, finite.

        Raises DataError where the file cannot be used.
        """
        ...


class KeptPool:
    """A pool whose first recordings stay in memory once read, as many as fit into `bound_bytes`.

    Which ones are kept follows from the lengths alone: were it the order of calls, a part cut from a whole recording
    could differ in its last bit from the same part resampled by itself. Copies sent to other processes start empty.
    """

    def __init__(self, pool: VoicePool, bound_bytes: int = BOUND_BYTES) -> None:
        self._pool = pool
        self.ids, self.speaker, self.sex = pool.ids, pool.speaker, pool.sex
        self.lengths, self.sample_rate_hz = pool.lengths, pool.sample_rate_hz
        self._keep = np.cumsum(pool.lengths) * 4 <= bound_bytes
        self._held: dict[int, Float32[np.ndarray, " t"]] = {}

    def load(self, index: int, start: int = 0, stop: int | None = None) -> Float32[np.ndarray, " t"]:
        """As the pool that is wrapped; what comes back must not be written to."""
        if not self._keep[index]:
            return self._pool.load(index, start, stop)
        if index not in self._held:
            self._held[index] = self._pool.load(index)
        return self._held[index][start:stop]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": {}}
