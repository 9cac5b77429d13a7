"""Whether a file ends where it should: files that were cut off are the commonest damage, and cheap to find."""

from pathlib import Path
from typing import Any

from PIL import Image

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_STRIPS, _TILES = (273, 279), (324, 325)  # TIFF tags of where pixels lie, and of how many bytes


def has_end(picture: Image.Image, path: Path) -> bool:
    """Whether a picture's file goes on to its end; False may also mean that something was written behind it."""
    size = path.stat().st_size
    if picture.format == "TIFF":
        return _tiff_end(picture) <= size
    with path.open("rb") as stream:
        if picture.format == "BMP":
            stream.seek(2)
            return int.from_bytes(stream.read(4), "little") <= size
        stream.seek(max(size - len(_PNG_END), 0))
        tail = stream.read()
    return tail == _PNG_END if picture.format == "PNG" else tail.endswith(_JPEG_END)


def _tiff_end(picture: Any) -> int:
    """The last byte that holds pixels."""
    ends = [0]
    for starts, counts in (_STRIPS, _TILES):
        pairs = zip(picture.tag_v2.get(starts, ()), picture.tag_v2.get(counts, ()), strict=False)
        ends += [start + count for start, count in pairs]
    return max(ends)
