"""Packed sequences of a row, numbered."""

from jaxtyping import Int
from torch import Tensor
from torch.nn import functional


def number_runs(segments: Int[Tensor, "b l"]) -> Int[Tensor, "b l"]:
    """How often the segment has changed up to each token: a segment number that comes back is another sequence."""
    changes = (segments[:, 1:] != segments[:, :-1]).to(segments.dtype)
    return functional.pad(changes.cumsum(1), (1, 0)) if segments.shape[1] else segments
