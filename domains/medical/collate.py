"""From images to one batch; those of different size are padded with zeros at the far end of each axis."""

from collections.abc import Sequence

import numpy as np
import torch

from armillary.core.domain import Batch, Item


def collate(items: Sequence[Item]) -> Batch:
    """image (b, c, *s), shape (b, r), spacing (b, r), index (b,); target (b, k), mask (b, k, *s), moments (b, 2, c)
    where items have them.

    s is the largest size along each axis, shape tells where each image ends; masks are zero beyond it.
    """
    sizes = [item["image"].shape[1:] for item in items]
    largest = tuple(np.max(sizes, axis=0).tolist())
    batch: Batch = {
        "image": _stacked([item["image"] for item in items], largest),
        "shape": torch.tensor(sizes, dtype=torch.int64),
        "spacing": torch.from_numpy(np.stack([item["spacing"] for item in items])),
        "index": torch.tensor([int(item["index"]) for item in items], dtype=torch.int64),
    }
    for name in ("target", "moments"):
        if name in items[0]:
            batch[name] = torch.from_numpy(np.stack([item[name] for item in items]))
    if "mask" in items[0]:
        batch["mask"] = _stacked([item["mask"] for item in items], largest)
    return batch


def _stacked(images: Sequence[np.ndarray], size: tuple[int, ...]) -> torch.Tensor:
    if all(image.shape[1:] == size for image in images):
        return torch.from_numpy(np.stack(images))
    out = np.zeros((len(images), len(images[0]), *size), np.float32)
    for row, image in zip(out, images, strict=True):
        row[(slice(None), *(slice(extent) for extent in image.shape[1:]))] = image
    return torch.from_numpy(out)
