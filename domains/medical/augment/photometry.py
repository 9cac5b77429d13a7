"""Changes of grey values; shapes stay. Results may leave [0, 1] and are cut to it at the end."""

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import uniform_filter

_LEVELS = 256


def brighter(image: Float32[np.ndarray, "c *s"], amount: float) -> Float32[np.ndarray, "c *s"]:
    """x + amount."""
    return image + np.float32(amount)


def more_contrast(image: Float32[np.ndarray, "c *s"], factor: float) -> Float32[np.ndarray, "c *s"]:
    """m + factor (x - m), m the mean of each channel."""
    mean = _of_channel(image.mean(tuple(range(1, image.ndim))), image)
    return mean + np.float32(factor) * (image - mean)


def sharper(image: Float32[np.ndarray, "c *s"], amount: float) -> Float32[np.ndarray, "c *s"]:
    """x + amount (x - mean of the pixels around x, itself one of three along each axis); below 0 it blurs."""
    smooth = np.stack([uniform_filter(channel, 3, mode="nearest") for channel in image])
    return image + np.float32(amount) * (image - smooth)


def stretched(image: Float32[np.ndarray, "c *s"]) -> Float32[np.ndarray, "c *s"]:
    """(x - min) / (max - min) of each channel; an even channel stays."""
    axes = tuple(range(1, image.ndim))
    low, high = _of_channel(image.min(axes), image), _of_channel(image.max(axes), image)
    span = high - low
    return np.where(span > 0, (image - low) / np.where(span > 0, span, 1), image).astype(np.float32)


def equalised(image: Float32[np.ndarray, "c *s"]) -> Float32[np.ndarray, "c *s"]:
    """Share of a channel's pixels that are darker, so that all grey values are as frequent; from 256 levels."""
    return np.stack([_equalised(channel) for channel in image])


def posterised(image: Float32[np.ndarray, "c *s"], bits: int) -> Float32[np.ndarray, "c *s"]:
    """floor(x 2^bits) / (2^bits - 1): as many grey values as so many bits have."""
    levels = 2**bits
    return np.minimum(np.floor(image * np.float32(levels)), levels - 1) / np.float32(levels - 1)


def solarised(image: Float32[np.ndarray, "c *s"], threshold: float) -> Float32[np.ndarray, "c *s"]:
    """1 - x where x is `threshold` or more."""
    return np.where(image >= threshold, 1 - image, image)


def _equalised(channel: Float32[np.ndarray, "*s"]) -> Float32[np.ndarray, "*s"]:
    level = np.clip(channel * (_LEVELS - 1) + 0.5, 0, _LEVELS - 1).astype(np.uint8)
    counts = np.bincount(level.reshape(-1), minlength=_LEVELS)
    below = np.cumsum(counts) - counts
    most = below[np.flatnonzero(counts)[-1]]
    return (below / most).astype(np.float32)[level] if most else channel


def _of_channel(values: Float32[np.ndarray, " c"], image: Float32[np.ndarray, "c *s"]) -> Float32[np.ndarray, "c *o"]:
    return values.reshape(-1, *(1,) * (image.ndim - 1))
