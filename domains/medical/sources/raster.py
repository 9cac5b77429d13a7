"""Pictures: PNG, JPEG, TIFF and BMP through Pillow."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.ends import has_end
from armillary.domains.medical.sources.grey import check_not_empty, tell_strange, unit_range
from armillary.domains.medical.sources.guard import reading
from armillary.domains.medical.sources.source import unknown_spacing
from armillary.domains.medical.sources.warn import warn

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_GREY16 = ("I;16", "I;16B", "I;16L", "I;16N")
_HALF = 127  # white of an 8-bit mask is above it; JPEG leaves greys near both ends


@dataclass(frozen=True)
class RasterSource:
    """A picture of one or three channels at 1, 8 or 16 bits; transparent parts lie on black.

    Colour of 16 bits is read with 8. Rows are those of the file, whatever its EXIF orientation says, for masks are
    drawn on those. Files of more pixels than Pillow's limit (Image.MAX_IMAGE_PIXELS) are refused.
    """

    path: Path

    def load(self, report: Report = warn) -> Float32[np.ndarray, "c rows columns"]:
        """Grey values in [0, 1].

        Raises:
            DataError: the file is missing, empty, truncated, no picture, of several pages, or too large.
        """
        with _opened(self.path) as picture:
            values = _values(picture, self.path)
        image = unit_range(values, self.path)
        image = image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))
        tell_strange(image, self.path, report)
        return image

    def shape(self) -> tuple[int, ...]:
        """(rows, columns) by the header; a file that was cut off is found out."""
        return _shape(self.path)

    def spacing_mm(self) -> tuple[float, ...]:
        """NaN: what pictures say of dots per inch is for printers."""
        return unknown_spacing(2)


@dataclass(frozen=True)
class RasterMask:
    """A structure drawn in a picture: white, or the pixels of one `value` where several share a file.

    White is 1 of 1 bit, 1 of pictures that hold 0 and 1 only, else above half of the range.
    """

    path: Path
    value: int | None = None

    def load(self, report: Report = warn) -> Float32[np.ndarray, "rows columns"]:
        """1 inside the structure, 0 outside.

        Raises:
            DataError: as of a picture, or a map of several labels without the value of one.
        """
        with _opened(self.path) as picture:
            if self.value is not None:
                return (_label_map(picture, self.path) == self.value).astype(np.float32)
            if picture.mode in _GREY16:
                values = (np.asarray(picture) >> 8).astype(np.uint8)
            else:
                values = np.asarray(_flat(picture).convert("L"), np.uint8)
        return _inside(values, self.path)

    def shape(self) -> tuple[int, ...]:
        """(rows, columns) by the header; a file that was cut off is found out."""
        return _shape(self.path)

    def spacing_mm(self) -> tuple[float, ...]:
        """NaN: pictures do not tell."""
        return unknown_spacing(2)


def is_one_bit(path: Path) -> bool:
    """Whether a picture has one bit a pixel, as masks do and films do not; False where the file cannot be read."""
    try:
        with _opened(path) as picture:
            return picture.mode == "1"
    except DataError:
        return False


@contextmanager
def _opened(path: Path) -> Generator[Image.Image, None, None]:
    """The picture with its header read."""
    with reading(path, "a picture"), Image.open(path, formats=FORMATS) as picture:
        check_not_empty(picture.size, path)
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and picture.width * picture.height > limit:
            raise DataError(
                f"has {picture.width} x {picture.height} pixels; at most {limit} are read", path=path,
                advice="Shrink it or cut it, or raise PIL.Image.MAX_IMAGE_PIXELS where the file can be trusted.",
            )  # fmt: skip
        pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
        if pages > 1:
            raise DataError(
                f"holds {pages} pages; expected one picture", path=path,
                advice="Store volumes as NIfTI, and pages of other kinds in files of their own.",
            )  # fmt: skip
        yield picture


def _shape(path: Path) -> tuple[int, ...]:
    """By the header; a picture whose end looks cut off is decoded, to see whether it is."""
    with _opened(path) as picture:
        if not has_end(picture, path):
            picture.load()
        return (picture.height, picture.width)


def _values(picture: Image.Image, path: Path) -> np.ndarray:
    """(rows, columns) or (rows, columns, 3) of a type whose range is known."""
    mode = picture.mode
    if mode in _GREY16:
        values = np.asarray(picture).astype(np.uint16)
        # Pillow inverts 8 bits by itself, and leaves 16 alone.
        inverted = picture.format == "TIFF" and picture.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO  # pyright: ignore[reportAttributeAccessIssue]
        return np.uint16(65535) - values if inverted else values
    if mode == "I":
        return _wide_integers(np.asarray(picture), path)
    if mode in ("1", "L", "F"):
        return np.asarray(picture)
    return np.asarray(_flat(picture))


def _wide_integers(values: np.ndarray, path: Path) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise DataError(
            f"holds integers from {values.min()} to {values.max()}; expected 0 to 65535 at most", path=path,
            advice="Convert it to unsigned integers of 8 or 16 bits first.",
        )  # fmt: skip
    return values.astype(np.uint16)


def _flat(picture: Image.Image) -> Image.Image:
    """The picture as grey or colour of 8 bits, on black where it is transparent; a palette of greys gives grey."""
    if picture.mode in ("1", "L"):
        return picture
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture).convert("RGB")
        return _grey_if_equal(picture)
    indexed = picture.mode == "P"
    picture = picture.convert("RGB")
    return _grey_if_equal(picture) if indexed else picture


def _grey_if_equal(picture: Image.Image) -> Image.Image:
    red, green, blue = (np.asarray(band) for band in picture.split())
    same = np.array_equal(red, green) and np.array_equal(green, blue)
    return picture.getchannel(0) if same else picture


def _label_map(picture: Image.Image, path: Path) -> np.ndarray:
    if picture.mode not in ("1", "L", "P", "I", *_GREY16):
        raise DataError(
            f"is a picture of mode {picture.mode}; labels are integers of one channel", path=path,
            advice="Store the labels as a grey or indexed PNG.",
        )  # fmt: skip
    return np.asarray(picture).astype(np.int64)


def _inside(values: UInt8[np.ndarray, "rows columns"], path: Path) -> Float32[np.ndarray, "rows columns"]:
    largest = int(values.max())
    if largest <= 1:
        return values.astype(np.float32)
    if largest <= _HALF:
        raise DataError(
            f"holds values up to {largest}; a mask is 0 and 1, or black and white", path=path,
            advice="If it is a map of several labels, name the value of one; else draw the structure in white.",
        )  # fmt: skip
    return (values > _HALF).astype(np.float32)
