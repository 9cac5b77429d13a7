"""Names of files in a folder of predictions."""

import re
from pathlib import Path

# Of a name, so that what stands behind it fits: file systems take 255.
_LONGEST_BYTES = 180
_SUFFIXES = (".nii", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".ima", ".npy", ".npz")


class Names:
    """Gives each item a stem of its own: its file's name without suffix, and a number behind it where that is taken.

    An item that comes again keeps its stem. Capital letters make no difference.
    """

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def __call__(self, item: str, file: str) -> str:
        """The stem for an item of a file."""
        stem, owner, number = slug(_bare(Path(item).as_posix())), f"{file}\0{item}", 1
        name = stem
        while self._owners.setdefault(name.casefold(), owner) != owner:
            number += 1
            name = f"{stem}~{number}"
        return name


def slug(text: str) -> str:
    """A text as part of a file's name: everything but letters, digits, dots and dashes becomes '_'."""
    bare = re.sub(r"[^\w.~-]+", "_", text).strip("._") or "image"
    return bare.encode()[:_LONGEST_BYTES].decode(errors="ignore")


def _bare(name: str) -> str:
    name = name.removesuffix(".gz").rpartition("/")[2] if _is_path(name) else name
    suffix = Path(name).suffix.lower()
    return name[: -len(suffix)] if suffix in _SUFFIXES else name


def _is_path(name: str) -> bool:
    """Items of arrays are called part/number; files end in a suffix that is known."""
    return Path(name.removesuffix(".gz")).suffix.lower() in _SUFFIXES
