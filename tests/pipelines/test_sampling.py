"""Batches are functions of (seed, epoch), and a run can start at any of its steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.pipelines.sampling import BatchSampler, Schedule, epoch_batches, plain_batches, steps_per_epoch


@given(st.integers(1, 80), st.integers(1, 20), st.integers(1, 5), st.booleans())
def test_an_epoch_holds_every_item_once(num_items: int, batch_size: int, epoch: int, ragged: bool):
    lengths = np.arange(num_items)[::-1].copy() if ragged else None
    batches = epoch_batches(3, epoch, num_items, batch_size, lengths)
    assert sorted(np.concatenate(batches).tolist()) == list(range(num_items))
    assert len(batches) == steps_per_epoch(num_items, batch_size)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 30), st.integers(0, 30))
def test_a_schedule_from_any_step_is_the_rest_of_the_whole(num_items: int, batch_size: int, start: int, more: int):
    stop = start + more
    whole = list(Schedule(7, num_items, batch_size, 0, stop))
    rest = Schedule(7, num_items, batch_size, start, stop)
    assert list(rest) == whole[start:]
    assert len(rest) == more
    assert list(BatchSampler(rest)) == whole[start:]


def test_epochs_and_seeds_differ_and_training_counts_from_one():
    one, two = epoch_batches(0, 0, 50, 50)[0], epoch_batches(0, 1, 50, 50)[0]
    assert one.tolist() != two.tolist()
    assert one.tolist() != epoch_batches(1, 0, 50, 50)[0].tolist()
    first = next(iter(Schedule(0, 4, 4, 0, 1)))
    assert {epoch for epoch, _ in first} == {1}


def test_items_of_similar_length_share_a_batch():
    lengths = np.random.default_rng(0).integers(10, 200, 640)
    spread = [np.ptp(lengths[batch]) for batch in epoch_batches(0, 0, 640, 16, lengths)]
    plain = [np.ptp(lengths[batch]) for batch in epoch_batches(0, 0, 640, 16)]
    assert np.mean(spread) < 0.25 * np.mean(plain)


def test_plain_batches_are_of_epoch_zero_and_in_order():
    assert plain_batches(3, 2) == [[(0, 0), (0, 1)], [(0, 2)]]
    assert plain_batches(0, 2) == []


@given(st.lists(st.integers(1, 300), max_size=120), st.integers(1, 40))
def test_plain_batches_of_ragged_items_hold_each_once_and_pad_little(lengths: list[int], batch_size: int):
    batches = plain_batches(len(lengths), batch_size, np.array(lengths, np.int64))
    assert sorted(index for batch in batches for _, index in batch) == list(range(len(lengths)))
    for batch in batches:
        found = [lengths[index] for _, index in batch]
        assert 1 <= len(batch) <= batch_size
        assert max(found) <= 1.25 * min(found) + 8


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_is_the_same_on_every_machine(seed: int):
    expected = {0: [0, 2, 1, 3, 4], 1: [2, 0, 3, 4, 1]}
    assert epoch_batches(seed, 0, 5, 5)[0].tolist() == expected[seed]
