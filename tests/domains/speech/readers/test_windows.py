"""Windows over a recording: every sample is in one, none is lost, and overlaps are long enough to follow voices."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.domains.speech.readers.windows import Window, slide


def blocks_of(signal: np.ndarray, size: int) -> list[np.ndarray]:
    return [signal[start : start + size] for start in range(0, len(signal), size)]


def windows(samples: int, length: int, hop: int, size: int = 7) -> list[Window]:
    signal = np.arange(samples, dtype=np.float32)
    return list(slide(iter(blocks_of(signal, size)), length, hop))


def test_every_length_modulo_the_hop_is_covered_to_the_sample():
    length, hop = 16, 12
    for samples in range(1, 5 * hop + length):
        found = windows(samples, length, hop)
        covered = np.zeros(samples, int)
        for window in found:
            stop = window.start + len(window.samples)
            np.testing.assert_array_equal(window.samples, np.arange(window.start, stop))
            covered[window.start : stop] += 1
        assert covered.all(), samples
        assert [window.last for window in found] == [False] * (len(found) - 1) + [True]


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(2, 40), st.floats(0.05, 0.9), st.integers(1, 60))
def test_windows_are_full_and_share_an_overlap_wherever_blocks_are_cut(
    samples: int, length: int, overlap: float, size: int
):
    hop = max(round(length * (1 - overlap)), 1)
    found = windows(samples, length, hop, size)
    starts = [window.start for window in found]
    assert starts[:-1] == [hop * number for number in range(len(found) - 1)]
    assert all(len(window.samples) == min(length, samples) for window in found)
    assert all(0 < later - earlier <= hop for earlier, later in pairwise(starts))
    assert found[-1].start + len(found[-1].samples) == samples
    again = windows(samples, length, hop, size=samples)
    assert [(w.start, w.last, w.samples.tolist()) for w in found] == [
        (w.start, w.last, w.samples.tolist()) for w in again
    ]


def test_no_samples_give_no_window():
    assert windows(0, 8, 6) == []


def test_a_whole_number_of_hops_ends_with_a_full_window_at_its_place():
    assert [window.start for window in windows(28, 16, 12)] == [0, 12]
    assert [window.start for window in windows(29, 16, 12)] == [0, 12, 13]
