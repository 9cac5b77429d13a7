"""Pictures of phantoms as files: grey at 8 bits or 12 in 16, colour, masks of one bit, and spoilt ones."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def write_grey(path: Path, image: Float32[np.ndarray, "h w"]) -> None:
    """8 bits, white at 255; a JPEG where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(255 * image).astype(np.uint8)).save(path, quality=92)


def write_grey12(path: Path, image: Float32[np.ndarray, "h w"]) -> None:
    """PNG of 16 bits of which the upper 12 count, as an X-ray detector gives them; its sBIT chunk says 12."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.round(4095 * image).astype(np.uint16)
    info = PngInfo()
    info.add(b"sBIT", bytes([12]))
    # The low bits repeat the high ones, so that white is 65535.
    Image.fromarray((values << 4) | (values >> 8)).save(path, pnginfo=info)


def write_colour(path: Path, image: Float32[np.ndarray, "3 h w"]) -> None:
    """RGB of 8 bits, PNG or JPEG by the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(255 * image).astype(np.uint8).transpose(1, 2, 0).copy()).save(path, quality=88)


def write_rgba(path: Path, image: Float32[np.ndarray, "h w"]) -> None:
    """Grey in three channels with a fourth that is opaque, as some releases have a few."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.round(255 * image).astype(np.uint8)
    Image.fromarray(np.stack([grey, grey, grey, np.full_like(grey, 255)], -1)).save(path)


def write_mask(path: Path, mask: Bool[np.ndarray, "h w"]) -> None:
    """PNG of one bit, white inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).convert("1").save(path)


def cut_in_half(path: Path) -> None:
    """Only the first half of the file is left."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
