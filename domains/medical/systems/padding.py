"""Images of any size for networks that halve them: zeros at the far end of each axis, cut off again afterwards."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def padded(image: Float[Tensor, "b c *s"], multiple: Sequence[int], least: int = 1) -> Float[Tensor, "b c *t"]:
    """The image with every axis a multiple of that axis' number, and `least` long at least.

    A standardised image is zero at its mean, so zeros are the least remarkable margin.
    """
    missing = [max(-size % step, least - size) for size, step in zip(image.shape[2:], multiple, strict=True)]
    if not any(missing):
        return image
    return functional.pad(image, [amount for last in reversed(missing) for amount in (0, last)])


def cut(values: Float[Tensor, "b k *t"], size: Sequence[int]) -> Float[Tensor, "b k *s"]:
    """The first `size` places along every axis."""
    return values[(..., *(slice(extent) for extent in size))]
