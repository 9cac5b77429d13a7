"""From the numbers a file holds to grey values in [0, 1], and what is strange about them."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Num, Shaped

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report

_TOLERANCE = 1e-4  # how far a float image may leave [0, 1], as resampling makes it
# An image that stays below this share of the range is taken for one with fewer bits than its type: 12 of 16 are 0.06.
_DIM = 0.08
_SAMPLED = 1 << 22  # values that percentiles are taken of at most


def unit_range(values: Shaped[np.ndarray, " *s"], path: Path, item: str | None = None) -> Float32[np.ndarray, " *s"]:
    """Grey values in [0, 1]: unsigned integers of 8 or 16 bits over their type's largest, booleans, floats as they are.

    Raises:
        DataError: another type, or floats that are not finite or leave [0, 1].
    """
    kind = values.dtype
    if kind == np.bool_:
        return values.astype(np.float32)
    if kind.kind == "u" and kind.itemsize <= 2:
        return values.astype(np.float32) / np.float32(np.iinfo(kind).max)
    if kind.kind != "f":
        raise DataError(
            f"holds values of type {kind}; expected uint8, uint16, bool, or floats in [0, 1]", path=path, item=item,
            advice="Nobody knows which of its values is white: convert it to one of these types first.",
        )  # fmt: skip
    return _checked_floats(values.astype(np.float32), path, item)


def _checked_floats(values: Float32[np.ndarray, " *s"], path: Path, item: str | None) -> Float32[np.ndarray, " *s"]:
    if not np.isfinite(values).all():
        raise DataError(
            "holds values that are not finite (NaN or infinity)", path=path, item=item, advice="The image is left out."
        )
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise DataError(
            f"holds floats from {low:g} to {high:g}; expected grey values in [0, 1]", path=path, item=item,
            advice="Bring them to [0, 1] first, or store unsigned integers of 8 or 16 bits.",
        )  # fmt: skip
    return np.clip(values, 0, 1)


def scaled(values: Float32[np.ndarray, " *s"], low: float, high: float) -> Float32[np.ndarray, " *s"]:
    """(x - low) / (high - low), cut to [0, 1], in place; all 0 where the two are equal."""
    if not high > low:
        values[...] = 0
        return values
    values -= np.float32(low)
    values /= np.float32(high - low)
    return np.clip(values, 0, 1, out=values)


def percentiles(values: Num[np.ndarray, " *s"]) -> tuple[float, float]:
    """The 0.5th and the 99.5th percentile of the finite values; of large arrays, of evenly chosen ones.

    (0, 0) where there is none.
    """
    step = -(-values.size // _SAMPLED)
    if step > 1:
        # A step that shares a factor with a side would look at the same columns of every row.
        step += next(extra for extra in range(values.size) if all(np.gcd(step + extra, s) == 1 for s in values.shape))
    chosen = values.reshape(-1)[::step]
    chosen = chosen[np.isfinite(chosen)]
    if not chosen.size:
        return 0.0, 0.0
    low, high = np.percentile(chosen, (0.5, 99.5))
    return float(low), float(high)


def tell_strange(image: Float32[np.ndarray, " *s"], path: Path, report: Report, item: str | None = None) -> None:
    """Reports an image of one grey value, and one so dark that its values are likely on another scale."""
    low, high = float(image.min()), float(image.max())
    if low == high:
        report(DataError(f"every pixel has the value {low:g}", path=path, item=item, advice="Is it the right file?"))
    elif high < _DIM:
        report(
            DataError(
                f"the largest grey value is {high:.2g} of 1",
                path=path,
                item=item,
                advice="Its values may use fewer bits than their type has (12 of 16): stretch them first.",
            )
        )


def check_not_empty(shape: tuple[int, ...], path: Path, item: str | None = None) -> None:
    """Whether there is a pixel at all.

    Raises:
        DataError: an axis has none.
    """
    if not shape or min(shape) < 1:
        sizes = " x ".join(map(str, shape)) or "no axes"
        raise DataError(f"has no pixels ({sizes})", path=path, item=item, advice="The image is left out.")
