"""Recordings kept in memory."""

import pickle

import numpy as np

from armillary.domains.speech.mixing.pool import KeptPool, VoicePool


class Counting:
    """Three recordings whose samples tell their place; counts what is loaded."""

    ids = np.array(["a", "b", "c"])
    speaker, sex = np.array(["1", "2", "3"]), np.array(["F", "", "M"])
    lengths = np.array([100, 100, 100], np.int64)
    sample_rate_hz = 8000

    def __init__(self) -> None:
        self.loads: list[tuple[int, int, int | None]] = []

    def load(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        self.loads.append((index, start, stop))
        return (1000 * index + np.arange(100)).astype(np.float32)[start:stop]


def test_a_kept_recording_is_read_once_and_gives_every_part():
    pool = Counting()
    kept = KeptPool(pool)
    assert isinstance(kept, VoicePool)
    assert kept.load(1, 5, 8).tolist() == [1005, 1006, 1007]
    assert kept.load(1, 98).tolist() == [1098, 1099]
    assert pool.loads == [(1, 0, None)]


def test_what_is_kept_follows_from_the_lengths_and_not_from_the_order_of_calls():
    pool = Counting()
    kept = KeptPool(pool, bound_bytes=850)
    for _ in range(2):
        for index in (2, 0, 1):
            kept.load(index, 0, 10)
    assert pool.loads == [(2, 0, 10), (0, 0, None), (1, 0, None), (2, 0, 10)]


def test_a_copy_for_another_process_starts_empty():
    kept = KeptPool(Counting())
    size = len(pickle.dumps(kept))
    kept.load(0)
    assert len(pickle.dumps(kept)) < size + 200
