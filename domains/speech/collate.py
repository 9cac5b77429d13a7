"""From ragged items to one batch: signals padded with zeros at their end."""

from collections.abc import Sequence

import numpy as np
import torch

from armillary.core.domain import Batch, Item


def collate(items: Sequence[Item]) -> Batch:
    """mixture (b, t), sources (b, k, t) where the voices are known, length [samples] and index (b,).

    t is the longest item's length; zeros stand beyond the end of the others. Every item has "mixture" (t,) and
    "index"; voices are in the batch if they are in the first item.
    """
    mixtures = [np.asarray(item["mixture"]) for item in items]
    lengths = [mixture.shape[-1] for mixture in mixtures]
    batch: Batch = {
        "mixture": _padded(mixtures, max(lengths)),
        "length": torch.tensor(lengths, dtype=torch.int64),
        "index": torch.tensor([int(item["index"]) for item in items], dtype=torch.int64),
    }
    if "sources" in items[0]:
        batch["sources"] = _padded([np.asarray(item["sources"]) for item in items], max(lengths))
    return batch


def _padded(signals: Sequence[np.ndarray], length: int) -> torch.Tensor:
    padded = np.zeros((len(signals), *signals[0].shape[:-1], length), np.float32)
    for row, signal in zip(padded, signals, strict=True):
        row[..., : signal.shape[-1]] = signal
    return torch.from_numpy(padded)
