"""Predictions of frames and of windows in time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from armillary.domains.modulation.assemble import assemble, smooth
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.items import FrameItems
from armillary.domains.modulation.recipes import clst_rml2016a


def windows(count: int, lead: int = 0) -> Frames:
    """Windows of one recording, side by side."""
    iq = np.random.default_rng(0).standard_normal((count, 2, 128)).astype(np.float32)
    name = np.full(count, "a.cf32")
    return Frames(
        iq, np.full(count, ""), np.full(count, np.nan, np.float32), np.arange(count).astype(np.str_), name,
        np.arange(count, dtype=np.int64) * 128, 200e3, 1e8, ("a.cf32",), lead,
    )  # fmt: skip


def predicted(items: FrameItems, smoothing: int = 1) -> tuple[object, np.ndarray]:
    """Records of random probabilities, given in two batches out of order."""
    config = clst_rml2016a()
    config = config.model_copy(update={"predict": config.predict.model_copy(update={"smooth": smoothing})})
    probability = np.random.default_rng(1).dirichlet(np.ones(11), len(items)).astype(np.float32)
    order = np.random.default_rng(2).permutation(len(items))
    batches = [{"probability": probability[part], "index": part} for part in np.array_split(order, 2)]
    return assemble(config, items, batches), probability


def items_of(frames: Frames, capture: bool) -> FrameItems:
    everything = np.arange(len(frames), dtype=np.int64)
    return FrameItems(clst_rml2016a(), frames, np.full(len(frames), -1, np.int64), everything, (), capture)


def test_records_come_in_the_order_of_the_items():
    records, probability = predicted(items_of(windows(9), False))
    assert np.array_equal(records["probability"].values, probability)
    assert "start" not in records
    assert records.attrs["sample_rate_hz"] == 200e3


def test_windows_tell_source_and_start_and_leave_their_context_out():
    records, probability = predicted(items_of(windows(9, lead=2), True))
    assert records["start"].values.tolist() == [128 * n for n in range(2, 9)]
    assert set(records["source"].values) == {"a.cf32"}
    assert np.array_equal(records["probability"].values, probability[2:])


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 5))
def test_smoothing_in_chunks_with_context_equals_smoothing_the_whole(count: int, width: int, cut: int):
    probability = np.random.default_rng(count).dirichlet(np.ones(3), count).astype(np.float32)
    chain = np.zeros(count, np.int64)
    whole = smooth(probability, chain, width)
    cut = min(cut, count)
    lead = max(cut - width + 1, 0)
    parts = [
        smooth(probability[:cut], chain[:cut], width),
        smooth(probability[lead:], chain[lead:], width)[cut - lead :],
    ]
    assert np.allclose(np.concatenate(parts), whole, atol=1e-6)
    assert np.allclose(whole.sum(1), 1, atol=1e-6)


def test_smoothing_does_not_reach_across_a_gap():
    probability = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert np.allclose(smooth(probability, np.array([0, 0, 1]), 3)[2], [0, 1])
