"""Orders in which a scan may visit the tokens of a grid."""

from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor


@lru_cache(maxsize=64)
def grid_paths(extents: tuple[int, ...], device: torch.device) -> tuple[Int[Tensor, " l"], ...]:
    """One path through a row-major grid for each axis: that axis runs fastest, the others row-major.

    The last path is the order in memory; backwards, they are the paths of `reverse=True`. On an image (rows,
    columns) the two paths and their reverses are the four of a cross scan, and a volume has six. Cached: the tensors
    are shared, so leave them as they are.

    References:
        Liu et al. 2024, "VMamba: visual state space model", section 4.2 (the cross scan).
    """
    places = torch.arange(torch.Size(extents).numel(), device=device).reshape(extents)
    return tuple(places.movedim(axis, -1).flatten() for axis in range(len(extents)))
