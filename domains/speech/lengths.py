"""Which part of a padded row is real."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def real_places(length: Int[Tensor, " b"], places: int) -> Bool[Tensor, "b t"]:
    """True for the first `length` of so many places of each row."""
    return torch.arange(places, device=length.device) < length.unsqueeze(-1)


def known_lengths(length: Int[Tensor, " b"] | None, places: int) -> Int[Tensor, " b"] | None:
    """The lengths, at most `places`, or None where no row is padded, so that nothing need be masked.

    A program that is being traced must serve all rows and keeps them.
    """
    if length is None:
        return None
    if torch.compiler.is_compiling() or length.is_meta:
        return length.clamp(max=places)
    return None if bool((length >= places).all()) else length.clamp(max=places)
