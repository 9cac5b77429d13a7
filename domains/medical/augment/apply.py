"""All changes of one training image in their order: part, mirror, turn, movement, operations on grey values.

Each change draws from its own stream, so switching one on does not move another's draws. What moves pixels is joined
into one map, and images are interpolated once; masks take the nearest pixel. Beyond the border of what is moved stands
black, which no structure covers.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from armillary.domains.medical.augment import geometry
from armillary.domains.medical.augment.photometry import brighter, more_contrast
from armillary.domains.medical.augment.randaugment import MOVES, OPERATIONS, Chosen, choose
from armillary.domains.medical.resize import resize, resize_mask
from armillary.domains.medical.settings import AugmentSettings

Draw = Callable[[str], np.random.Generator]  # the generator of a stream
Pair = tuple[Float32[np.ndarray, "c *s"], Float32[np.ndarray, "k *s"]]


def augment(
    image: Float32[np.ndarray, "c *s"],
    mask: Float32[np.ndarray, "k *s"],
    size: Sequence[int],
    settings: AugmentSettings,
    draw: Draw,
) -> tuple[Float32[np.ndarray, "c *t"], Float32[np.ndarray, "k *t"]]:
    """A changed copy at `size`, grey values in [0, 1]; k may be 0. A function of what `draw` gives."""
    image, mask = _part(image, mask, size, settings, draw)
    image, mask = _mirror_and_turn(image, mask, settings, draw)
    chosen = choose(settings, draw("randaugment")) if settings.magnitude > 0 else []
    image, mask = _move(image, mask, settings, chosen, draw)
    for name, strength in chosen:
        if name in OPERATIONS:
            image = OPERATIONS[name](image, strength)
    return _shade(image, settings, draw), np.ascontiguousarray(mask)


def reach(size: Sequence[int], settings: AugmentSettings) -> tuple[int, ...]:
    """How large a part has to be so that, turned and shrunk as far as the settings go, `size` in its middle is full."""
    rows, columns = map(float, size[-2:])
    limit = math.radians(min(settings.rotate_deg, 90.0))
    grow = 1 / max(1 - settings.scale, 0.1)
    tall = _longest(rows, columns, limit) * grow
    wide = _longest(columns, rows, limit) * grow
    deep = [planes * grow for planes in size[:-2]]
    # Up to an even number of pixels more, so that the middle stays where it is.
    return tuple(
        n + 2 * math.ceil((length - n) / 2 - 1e-9) for n, length in zip(size, [*deep, tall, wide], strict=True)
    )


def _longest(along: float, across: float, limit: float) -> float:
    """Largest extent of a turned rectangle, over angles up to `limit`."""
    angle = min(math.atan2(across, along), limit)
    return along * math.cos(angle) + across * math.sin(angle)


def _part(
    image: Float32[np.ndarray, "c *s"],
    mask: Float32[np.ndarray, "k *s"],
    size: Sequence[int],
    settings: AugmentSettings,
    draw: Draw,
) -> tuple[Float32[np.ndarray, "c *t"], Float32[np.ndarray, "k *t"]]:
    box = None if settings.crop is None else geometry.draw_box(image.shape[1:], settings.crop, draw("crop"))
    return resize(image, size, box), resize_mask(mask, size, box)


def _mirror_and_turn(
    image: Float32[np.ndarray, "c *s"], mask: Float32[np.ndarray, "k *s"], settings: AugmentSettings, draw: Draw
) -> Pair:
    mirror = settings.flip and draw("flip").random() < 0.5
    upset, quarters = False, 0
    if settings.turn:
        stream = draw("turn")
        upset, quarters = bool(stream.random() < 0.5), int(stream.integers(4))
        if image.shape[-2] != image.shape[-1]:
            quarters = quarters // 2 * 2
    return geometry.turned(image, mirror, upset, quarters), geometry.turned(mask, mirror, upset, quarters)


def _move(
    image: Float32[np.ndarray, "c *s"],
    mask: Float32[np.ndarray, "k *s"],
    settings: AugmentSettings,
    chosen: Sequence[Chosen],
    draw: Draw,
) -> Pair:
    rank, stream = image.ndim - 1, draw("affine")
    angle, size = stream.uniform(-1, 1, 2)
    steps = [
        geometry.rotation(math.radians(settings.rotate_deg * angle), rank),
        geometry.scaling(1 + settings.scale * size, rank),
        *(MOVES[name](strength, image.shape[1:]) for name, strength in chosen if name in MOVES),
    ]
    step = geometry.joined(steps)
    if step is None:
        return image, mask
    return geometry.moved(image, step, order=1), geometry.moved(mask, step, order=0)


def _shade(image: Float32[np.ndarray, "c *s"], settings: AugmentSettings, draw: Draw) -> Float32[np.ndarray, "c *s"]:
    if settings.contrast > 0:
        image = more_contrast(image, 1 + settings.contrast * draw("contrast").uniform(-1, 1))
    if settings.brightness > 0:
        image = brighter(image, settings.brightness * draw("brightness").uniform(-1, 1) * float(image.std()))
    return np.clip(image, 0, 1)
