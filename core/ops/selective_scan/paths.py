"""Orders in which a scan may visit the tokens of a grid."""

import torch
from jaxtyping import Int
from torch import Tensor


def grid_paths(extents: tuple[int, ...], device: torch.device) -> tuple[Int[Tensor, " l"], ...]:
    """One path through a row-major grid for each axis: that axis runs fastest, the others row-major.

    The last path is the order in memory; backwards, they are the paths of `reverse=True`. On an image (rows,
    columns) the two paths and their reverses are the four of a cross scan, and a volume has six. Made anew at every
    call: a tensor kept from inference mode or from a trace could not be used outside it.

    References:
        Liu et al. 2024, "VMamba: visual state space model", section 4.2 (the cross scan).
    """
    places = torch.arange(torch.Size(extents).numel(), device=device).reshape(extents)
    return tuple(places.movedim(axis, -1).flatten() for axis in range(len(extents)))
