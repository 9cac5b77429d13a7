"""Parts, mirror images, turns and other movements of images; the last two axes are rows and columns."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64
from scipy.ndimage import affine_transform

Step = Float64[np.ndarray, "d d"]  # from a place in the result to one in the image, about the middle; last row 0 .. 0 1
_ASPECT = (3 / 4, 4 / 3)  # of a part, relative to the image
_TRIES = 10


def draw_box(size: Sequence[int], share: tuple[float, float], rng: np.random.Generator) -> list[tuple[float, float]]:
    """A part of an image that covers a share of its area (of a volume, of its volume), at a random place.

    The share is even over the range, the ratio of sides even in its logarithm from 3/4 to 4/3 of the image's own. The
    planes of a volume keep their share of the side. All of it where no part of that shape fits in ten tries.

    References:
        Szegedy et al. 2015, "Going deeper with convolutions", section 6.
    """
    for _ in range(_TRIES):
        side = rng.uniform(*share) ** (1 / len(size))
        stretch = math.sqrt(math.exp(rng.uniform(*np.log(_ASPECT))))
        sides = [side] * (len(size) - 2) + [side / stretch, side * stretch]
        if max(sides) <= 1:
            places = rng.random(len(size))
            return [((1 - s) * p * n, ((1 - s) * p + s) * n) for s, p, n in zip(sides, places, size, strict=True)]
    return [(0.0, float(n)) for n in size]


def turned(image: Float32[np.ndarray, "c *s"], mirror: bool, upset: bool, quarters: int) -> Float32[np.ndarray, "c *s"]:
    """Mirrored from left to right, then up and down, then turned by quarters; a view."""
    image = image[..., ::-1] if mirror else image
    image = image[..., ::-1, :] if upset else image
    return np.rot90(image, quarters, (-2, -1)) if quarters else image


def rotation(angle: float, rank: int) -> Step | None:
    """A turn in the plane of rows and columns by `angle` [rad]; None for none."""
    if angle == 0:
        return None
    cosine, sine = math.cos(angle), math.sin(angle)
    return _in_plane([[cosine, -sine], [sine, cosine]], rank)


def scaling(factor: float, rank: int) -> Step | None:
    """Larger by `factor` along every axis; None for 1."""
    if factor == 1:
        return None
    return np.diag([*[1 / factor] * rank, 1.0])


def shearing(rows: float, columns: float, rank: int) -> Step:
    """Rows moved by `rows` pixels a column, or columns by `columns` pixels a row."""
    return _in_plane([[1.0, rows], [columns, 1.0]], rank)


def translation(rows: float, columns: float, rank: int) -> Step:
    """Everything moved by so many pixels down and to the right."""
    step = np.eye(rank + 1)
    step[rank - 2 : rank, rank] = -rows, -columns
    return step


def joined(steps: Sequence[Step | None]) -> Step | None:
    """One step after the other as a single one; None where there is none."""
    found = [step for step in steps if step is not None]
    return np.linalg.multi_dot([np.eye(len(found[0])), np.eye(len(found[0])), *found]) if found else None


def moved(image: Float32[np.ndarray, "c *s"], step: Step, order: int) -> Float32[np.ndarray, "c *s"]:
    """The image seen through a step: order 1 interpolates linearly, 0 takes the nearest pixel; black beyond it."""
    matrix, shift = step[:-1, :-1], step[:-1, -1]
    middle = (np.array(image.shape[1:]) - 1) / 2
    offset = middle - matrix @ middle + shift
    out = np.empty(image.shape, np.float32)
    for channel, target in zip(image, out, strict=True):
        affine_transform(channel, matrix, offset, output=target, order=order, mode="constant", cval=0.0)  # pyright: ignore[reportArgumentType]
    return out


def _in_plane(matrix: Sequence[Sequence[float]], rank: int) -> Step:
    step = np.eye(rank + 1)
    step[rank - 2 : rank, rank - 2 : rank] = matrix
    return step
