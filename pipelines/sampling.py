"""Which items form which batch: a function of (seed, epoch), so that a resumed run needs no rewinding."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch.utils.data import Sampler

from armillary.core.domain import Items
from armillary.core.random import derive_rng

_POOL_BATCHES = 16  # batches among which items are sorted by length: less padding, still well mixed
_STRETCH, _SLACK = 1.25, 8  # a batch holds lengths up to 1.25 times its shortest plus 8

Key = tuple[int, int]  # (epoch, index)


def epoch_batches(
    seed: int, epoch: int, num_items: int, batch_size: int, lengths: Int[np.ndarray, " n"] | None = None
) -> list[Int[np.ndarray, " b"]]:
    """The batches of one epoch: every item once, in an order drawn from (seed, epoch).

    With `lengths`, items of similar length share a batch, inside pools of some batches.
    """
    rng = derive_rng(seed, "order", epoch)
    order = rng.permutation(num_items)
    if lengths is not None:
        pool = batch_size * _POOL_BATCHES
        order = np.concatenate(
            [part[np.argsort(lengths[part], kind="stable")] for part in np.split(order, range(pool, num_items, pool))]
        )
    batches = [order[start : start + batch_size] for start in range(0, num_items, batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))] if lengths is not None else batches


def steps_per_epoch(num_items: int, batch_size: int) -> int:
    """Number of batches in one epoch; the last may be smaller."""
    return -(-num_items // batch_size)


@dataclass(frozen=True)
class Schedule:
    """The batches of a whole run, from one step to another."""

    seed: int
    num_items: int
    batch_size: int
    start: int
    stop: int
    lengths: Int[np.ndarray, " n"] | None = None

    def __iter__(self) -> Iterator[list[Key]]:
        per_epoch = steps_per_epoch(self.num_items, self.batch_size)
        for epoch in range(self.start // per_epoch, -(-self.stop // per_epoch)):
            batches = epoch_batches(self.seed, epoch, self.num_items, self.batch_size, self.lengths)
            first = max(self.start - epoch * per_epoch, 0)
            last = min(self.stop - epoch * per_epoch, per_epoch)
            for batch in batches[first:last]:
                # Epoch 0 is the plain item that validation reads, so training counts from 1.
                yield [(epoch + 1, int(index)) for index in batch]

    def __len__(self) -> int:
        return max(self.stop - self.start, 0)


class BatchSampler(Sampler[list[Key]]):
    """A schedule in the form a torch DataLoader wants."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self._schedule)

    def __len__(self) -> int:
        return len(self._schedule)


def plain_batches(num_items: int, batch_size: int, lengths: Int[np.ndarray, " n"] | None = None) -> list[list[Key]]:
    """Batches of every plain item (epoch 0): in order, or, with `lengths`, from short to long.

    Where items differ much in length a batch ends early, so that padding adds at most about a quarter.
    """
    if lengths is None:
        return [[(0, i) for i in range(s, min(s + batch_size, num_items))] for s in range(0, num_items, batch_size)]
    batches: list[list[Key]] = []
    shortest = 0
    for index in np.argsort(lengths, kind="stable").tolist():
        length = int(lengths[index])
        if not batches or len(batches[-1]) == batch_size or length > _STRETCH * shortest + _SLACK:
            batches.append([])
            shortest = length
        batches[-1].append((0, index))
    return batches


def item_lengths(items: Items) -> Int[np.ndarray, " n"] | None:
    """Lengths of ragged items where the dataset tells them."""
    lengths = getattr(items, "lengths", None)
    return None if lengths is None else np.asarray(lengths, dtype=np.int64)
