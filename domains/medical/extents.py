"""Where images of several sizes lie in a batch that is padded to the largest: from the first place of each axis on."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def all_whole(shape: Int[Tensor, "b r"], image: Float[Tensor, "b c *s"]) -> bool:
    """Whether no image of the batch is padded; shapes without numbers, as `describe` has them, count as whole."""
    return shape.is_meta or all(tuple(extents) == tuple(image.shape[2:]) for extents in shape.tolist())


def places_of(shape: Int[Tensor, "b r"]) -> list[tuple[slice, ...]]:
    """Where each image of a batch lies, after its channels."""
    return [(slice(None), *(slice(extent) for extent in extents)) for extents in shape.tolist()]


def inside_of(shape: Int[Tensor, "b r"] | None, values: Float[Tensor, "b k *s"]) -> Bool[Tensor, "b 1 *s"] | None:
    """Places that are real; None where no extents are known."""
    if shape is None:
        return None
    found = values.new_zeros(len(values), 1, *values.shape[2:], dtype=torch.bool)
    for row, place in enumerate(places_of(shape)):
        found[row][place] = True
    return found
