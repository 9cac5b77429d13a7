"""Ragged items as one batch."""

import numpy as np
import torch

from armillary.domains.speech.collate import collate


def test_items_of_different_lengths_are_padded_with_zeros_and_keep_their_lengths():
    items = [
        {"mixture": np.ones(5, np.float32), "sources": np.full((2, 5), 2, np.float32), "index": 7},
        {"mixture": np.ones(3, np.float32), "sources": np.full((2, 3), 3, np.float32), "index": 1},
    ]
    batch = collate(items)
    assert batch["mixture"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch["sources"].shape == (2, 2, 5)
    assert batch["sources"][1, 1].tolist() == [3, 3, 3, 0, 0]
    assert batch["length"].tolist() == [5, 3]
    assert batch["index"].tolist() == [7, 1]
    assert batch["mixture"].dtype == batch["sources"].dtype == torch.float32
    assert batch["length"].dtype == batch["index"].dtype == torch.int64


def test_items_without_known_voices_give_a_batch_without_sources():
    batch = collate([{"mixture": np.zeros(4, np.float32), "index": 0}])
    assert set(batch) == {"mixture", "length", "index"}
