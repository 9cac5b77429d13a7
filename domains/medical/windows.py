"""Images and volumes in overlapping windows, blended by a Gaussian; also volumes that do not fit in memory."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

Logits = Callable[[Tensor], Tensor]  # (b, c, *s) to (b, k, *s)
_AT_ONCE = 4


@runtime_checkable
class Source(Protocol):
    """A volume (c, planes, rows, columns) whose planes are read when they are asked for: a memory map, or a file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: tuple[slice, slice]) -> Any: ...


@runtime_checkable
class Sink(Protocol):
    """Takes probabilities (k, planes, rows, columns) some planes at a time: a memory map, or a file."""

    def __setitem__(self, key: tuple[slice, slice], value: Float32[np.ndarray, "k p y x"]) -> None: ...


def slide(
    logits: Logits, image: Float[Tensor, "b c *s"], patch: Sequence[int], overlap: float, at_once: int = _AT_ONCE
) -> Float[Tensor, "b k *s"]:
    """Logits of overlapping windows, averaged with Gaussian weights (MONAI's); an axis shorter than `patch` is whole.

    Windows start every patch (1 - overlap) places, the last one at the far end. Up to `at_once` of them are in the
    network together.
    """
    size = image.shape[2:]
    window = _window(size, patch)
    if window == tuple(size):
        return logits(image)
    # Here, because importing MONAI takes seconds.
    from monai.inferers.utils import sliding_window_inference

    found = sliding_window_inference(image, window, at_once, logits, overlap, mode="gaussian")
    assert isinstance(found, Tensor)
    return found


@torch.no_grad()
def segment_volume(
    model: Logits,
    source: Source,
    out: Sink,
    patch: Sequence[int],
    overlap: float,
    *,
    at_once: int = _AT_ONCE,
    device: torch.device | str = "cpu",
) -> None:
    """Probabilities of a volume, planes of one row of windows in memory at a time: sigmoid of what `slide` gives.

    Windows, weights and order are those of `slide`, so that the two agree to rounding. Memory is that of patch[0]
    planes, as float32, once for each channel, structure and the weights. Planes are written once, first to last.
    """
    from monai.data.utils import compute_importance_map, dense_patch_slices

    size = tuple(source.shape[1:])
    window = _window(size, patch)
    pairs = zip(window, size, strict=True)
    step = [side if side == extent else max(int(side * (1 - overlap)), 1) for side, extent in pairs]
    rows = groupby(dense_patch_slices(size, window, step), key=lambda places: int(places[0].start))
    slab = Slab(compute_importance_map(window, mode="gaussian", device=device), size)
    for start, places in rows:
        slab.write(out, until=start)
        planes = torch.as_tensor(np.asarray(source[:, start : start + window[0]], np.float32), device=device)
        windows = [(place[1], place[2]) for place in places]
        for first in range(0, len(windows), at_once):
            chosen = windows[first : first + at_once]
            slab.add(model(torch.stack([planes[:, :, *place] for place in chosen])), chosen)
    slab.write(out, until=size[0])


class Slab:
    """Weighted sums of logits on the planes that one row of windows covers, moving along a volume."""

    def __init__(self, weight: Float[Tensor, "p v u"], size: tuple[int, ...]) -> None:
        self.weight, self.start = weight, 0
        self.total = weight.new_zeros(len(weight), *size[1:])
        self.sums: Tensor | None = None

    def add(self, logits: Float[Tensor, "n k p v u"], places: Sequence[tuple[slice, slice]]) -> None:
        """Windows at these rows and columns."""
        if self.sums is None:
            self.sums = self.total.new_zeros(logits.shape[1], *self.total.shape)
        for window, place in zip(logits, places, strict=True):
            self.sums[:, :, *place] += self.weight * window
            self.total[:, *place] += self.weight

    def write(self, out: Sink, until: int) -> None:
        """Writes the planes before `until`, which no later window reaches, and moves on."""
        done = until - self.start
        if self.sums is None or done == 0:
            return
        probability = (self.sums[:, :done] / self.total[:done]).sigmoid()
        out[:, self.start : until] = probability.cpu().numpy()
        for tensor in (self.sums.movedim(1, 0), self.total):
            tensor[: len(tensor) - done] = tensor[done:].clone()
            tensor[len(tensor) - done :] = 0
        self.start = until


def _window(size: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """A window of `patch`, no longer than the image.

    Raises ValueError for another number of axes.
    """
    if len(size) != len(patch):
        raise ValueError(
            f"an image of extents {tuple(size)} cannot be cut into windows of {tuple(patch)}; expected one extent for "
            "each of its axes, set data.patch"
        )
    return tuple(min(extent, side) for extent, side in zip(size, patch, strict=True))
