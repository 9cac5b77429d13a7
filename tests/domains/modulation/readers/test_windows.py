"""Windows over a stream of blocks: the same however the stream is cut, none lost, in constant memory."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.readers.capture import Capture, windows
from armillary.domains.modulation.settings import ModulationPredict

COUNTS, LENGTHS, HOPS = st.integers(0, 300), st.integers(1, 40), st.integers(1, 60)
CUTS = st.lists(st.integers(0, 300), max_size=8)


def ramp(count: int) -> np.ndarray:
    """Samples that tell their own place, from 1 on."""
    return (np.arange(1, count + 1) * (1 - 1j)).astype(np.complex64)


def capture(samples: np.ndarray, cuts: list[int] | None = None, **facts: Any) -> Capture:
    """A capture whose blocks end at `cuts`."""
    bounds = sorted({0, len(samples), *(min(cut, len(samples)) for cut in cuts or [])})
    blocks = [samples[a:b] for a, b in pairwise(bounds)]
    return Capture("a.cf32", lambda: iter(blocks), **facts)


def cut(it: Capture, problems: list[DataError], length: int, chunk_items: int = 1024, **settings: Any) -> list[Frames]:
    return list(windows(it, ModulationPredict(window=length, **settings), chunk_items, problems.append))


@given(COUNTS, CUTS, LENGTHS, HOPS, st.integers(1, 7))
def test_any_partition_into_blocks_gives_every_whole_window_once(
    count: int, cuts: list[int], length: int, hop: int, chunk_items: int
):
    problems: list[DataError] = []
    chunks = cut(capture(ramp(count), cuts), problems, length, chunk_items, hop=hop)
    starts = np.concatenate([np.zeros(0, np.int64), *(chunk.start for chunk in chunks)])
    assert starts.tolist() == list(range(0, count - length + 1, hop))
    for chunk in chunks:
        assert 1 <= len(chunk) <= chunk_items
        assert chunk.lead == 0
        expected = 1 + chunk.start[:, None] + np.arange(length)
        np.testing.assert_array_equal(chunk.iq[:, 0], expected)
        np.testing.assert_array_equal(chunk.iq[:, 1], -expected)
    if count >= length:
        assert not problems
    else:
        assert [error.problem for error in problems] == [f"has {count} samples; expected at least {length}, one window"]


@given(COUNTS, CUTS, LENGTHS)
def test_side_by_side_windows_hold_every_sample_once_but_for_the_rest(count: int, cuts: list[int], length: int):
    chunks = cut(capture(ramp(count), cuts), [], length, chunk_items=3)
    seen = np.concatenate([np.zeros(0), *(chunk.iq[:, 0].ravel() for chunk in chunks)])
    assert seen.tolist() == list(range(1, count - count % length + 1))


@given(COUNTS, st.integers(1, 10), HOPS, st.integers(1, 6), st.integers(1, 8))
def test_smoothing_repeats_the_windows_before_each_chunk_and_loses_none(
    count: int, length: int, hop: int, smooth: int, chunk_items: int
):
    chunks = cut(capture(ramp(count), [17, 50]), [], length, chunk_items, hop=hop, smooth=smooth)
    fresh: list[int] = []
    for place, chunk in enumerate(chunks):
        assert chunk.lead == (0 if place == 0 else min(smooth - 1, len(fresh)))
        assert chunk.start[: chunk.lead].tolist() == fresh[len(fresh) - chunk.lead :]
        assert len(chunk) <= max(chunk_items, chunk.lead + 1)
        fresh += chunk.start[chunk.lead :].tolist()
    assert fresh == list(range(0, count - length + 1, hop))


def test_windows_tell_source_place_rate_and_centre():
    facts = {"first": 1000, "sample_rate_hz": 2e6, "centre_hz": 1e8}
    (chunk,) = cut(capture(ramp(25), **facts), [], 10)
    assert chunk.id.tolist() == ["a.cf32:1000", "a.cf32:1010"]
    assert chunk.group.tolist() == ["a.cf32", "a.cf32"]
    assert chunk.start.tolist() == [1000, 1010]
    assert (chunk.sample_rate_hz, chunk.centre_hz, chunk.sources) == (2e6, 1e8, ("a.cf32",))
    assert chunk.label.tolist() == ["", ""]
    assert np.isnan(chunk.snr_db).all()


def test_windows_of_zeros_or_nan_are_left_out_and_told_once(problems: Any):
    samples = ramp(100)
    samples[20:30], samples[55], samples[70] = 0, np.nan, np.inf
    (chunk,) = cut(capture(samples, first=1000), problems, 10)
    assert chunk.start.tolist() == [1000, 1010, 1030, 1040, 1060, 1080, 1090]
    assert sorted(map(str, problems)) == [
        "a.cf32[sample 1020]: 1 of 10 windows hold nothing but zeros\n"
        "  They are left out; the place is the first one's.",
        "a.cf32[sample 1050]: 2 of 10 windows hold samples that are not finite (NaN or infinity)\n"
        "  They are left out; the place is the first one's.",
    ]


def test_a_capture_of_nothing_but_nan_gives_no_window_and_says_so(problems: Any):
    assert cut(capture(np.full(50, np.nan, np.complex64)), problems, 10) == []
    assert "5 of 5 windows" in str(problems)


def test_settings_tell_what_the_file_does_not_and_may_not_differ_from_what_it_does():
    told = {"sample_rate_hz": 1e6, "centre_hz": 100.0}
    (chunk,) = cut(capture(ramp(10)), [], 10, **told)
    assert (chunk.sample_rate_hz, chunk.centre_hz) == (1e6, 100.0)
    (same,) = cut(capture(ramp(10), sample_rate_hz=1e6, centre_hz=100.0), [], 10, **told)
    assert (same.sample_rate_hz, same.centre_hz) == (1e6, 100.0)
    with pytest.raises(DataError, match=r"sample rate is 48000 Hz, predict.sample_rate_hz says 1000000 Hz"):
        cut(capture(ramp(10), sample_rate_hz=48e3), [], 10, **told)
    with pytest.raises(DataError, match=r"centre frequency is 145800000 Hz, predict.centre_hz says 100 Hz"):
        cut(capture(ramp(10), centre_hz=145.8e6), [], 10, **told)


def test_a_capture_that_breaks_off_gives_the_windows_before_the_break(problems: Any):
    def blocks() -> Iterator[np.ndarray]:
        yield ramp(25)
        raise DataError("broke off")

    (chunk,) = cut(Capture("a.cf32", blocks), problems, 10)
    assert chunk.start.tolist() == [0, 10]
    assert [error.problem for error in problems] == ["broke off"]
    problems.clear()
    assert cut(Capture("a.cf32", blocks), problems, 100) == []
    assert len(problems) == 1


@pytest.mark.parametrize("settings", [{}, {"hop": 16}, {"hop": 1000}, {"smooth": 20}])
def test_memory_does_not_grow_with_the_capture(settings: dict[str, int]):
    def peak(blocks: int) -> int:
        block = ramp(1 << 14)
        it = Capture("a.cf32", lambda: (block for _ in range(blocks)))
        tracemalloc.start()
        for _ in windows(it, ModulationPredict(window=128, **settings), 64, lambda _: None):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    short, long = peak(8), peak(32)
    assert long < 1.1 * short + 50_000
