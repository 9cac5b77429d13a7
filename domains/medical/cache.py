"""Decoded images in few bytes, kept while there is room, so that an epoch need not decode them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8

from armillary.domains.medical.parts import cut

CACHE_BYTES = 1 << 30  # of one process; each loader's worker keeps its own


@dataclass(frozen=True, eq=False)
class Packed:
    """An image and its masks as they are kept: grey values of 8 bits where those are exact, else of 16.

    The rounding of 16 bits, 1/131070 at most, is far below what a detector can tell. Every image goes through it,
    kept or not, so that an item does not depend on what was kept.
    """

    grey: Shaped[np.ndarray, "c *s"]
    bits: UInt8[np.ndarray, "k *b"]  # eight columns in a byte
    moments: Float32[np.ndarray, "2 c"]  # mean and deviation of each channel over the whole image

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.grey.nbytes + self.bits.nbytes

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.grey.shape[1:]

    def part(
        self, start: Sequence[int] | None = None, size: Sequence[int] | None = None
    ) -> tuple[Float32[np.ndarray, "c *s"], Float32[np.ndarray, "k *s"]]:
        """(grey values in [0, 1], masks of 0 and 1) of a part, black beyond the border; by default of all of it.

        Only the part is unpacked, along the columns the whole rows of it.
        """
        start, size = start or [0] * len(self.shape), size or self.shape
        grey = cut(self.grey, start, size).astype(np.float32) / np.float32(np.iinfo(self.grey.dtype).max)
        rows = cut(self.bits, [*start[:-1], 0], [*size[:-1], self.bits.shape[-1]])
        mask = np.unpackbits(rows, axis=-1, count=self.shape[-1])
        return grey, cut(mask, [*[0] * len(size[:-1]), start[-1]], size).astype(np.float32)


def pack(image: Float32[np.ndarray, "c *s"], mask: Bool[np.ndarray, "k *s"]) -> Packed:
    """An image with grey values in [0, 1] and its masks in few bytes."""
    eighth = np.rint(image * np.float32(255))
    exact = np.array_equal(eighth.astype(np.float32) / np.float32(255), image)
    grey = eighth.astype(np.uint8) if exact else np.rint(image * np.float32(65535)).astype(np.uint16)
    axes = tuple(range(1, image.ndim))
    moments = np.stack([image.mean(axes, np.float64), image.std(axes, np.float64)]).astype(np.float32)
    return Packed(grey, np.packbits(mask, axis=-1), moments)


class ImageCache:
    """Images by their place, first come, first kept; a copy that is sent to another process starts empty.

    Nothing is thrown out for others: epochs visit all images in turn, and the last used would be the last wanted.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._kept: dict[int, Packed] = {}

    def get(self, place: int) -> Packed | None:
        """What is kept there, if anything."""
        return self._kept.get(place)

    def put(self, place: int, packed: Packed) -> None:
        """Keeps it if there is room."""
        if place not in self._kept and self._bytes + packed.nbytes <= self._most_bytes:
            self._kept[place] = packed
            self._bytes += packed.nbytes

    def __len__(self) -> int:
        return len(self._kept)

    def __getstate__(self) -> dict[str, Any]:
        return {"_most_bytes": self._most_bytes, "_bytes": 0, "_kept": {}}
