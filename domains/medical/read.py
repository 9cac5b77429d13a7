"""Read images of any kind the domain knows from files and folders, as labelled chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float32

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.medical.search import Found, find_images
from armillary.domains.medical.settings import MedicalPredict
from armillary.domains.medical.sniff import Kind
from armillary.domains.medical.sources import ArraySource, DicomSource, NiftiSource, RasterSource

Source = ArraySource | DicomSource | NiftiSource | RasterSource
_CHUNK_BYTES = 256 << 20  # of pixels in one chunk; a larger image is a chunk by itself


@dataclass(frozen=True, eq=False)
class Picture:
    """One image as it was read, with what its file tells."""

    item: str
    file: Path
    kind: Kind
    image: Float32[np.ndarray, "c *s"]
    spacing_mm: tuple[float, ...]
    attrs: tuple[tuple[str, Any], ...] = ()

    def like(self, other: "Picture") -> bool:
        """Whether both fit into one chunk."""
        return (self.kind, self.image.shape, self.attrs) == (other.kind, other.image.shape, other.attrs)


def read(paths: Sequence[Path], options: ReadOptions) -> Iterator[xr.Dataset]:
    """Chunks of images of one size from files and folders, in a stream.

    image (item, channel, [plane,] row, column): grey values in [0, 1] at the file's own size. spacing_mm (item, axis);
    file (item). Attributes: kind (raster, dicom, nifti, array); where it is known, affine (16 numbers, row by row: from
    (column, row, plane, 1) to millimetres right, anterior, superior), and orientation, the way a NIfTI file's own axes
    point. A chunk has images of one size and affine, at most `options.chunk_items` of them and 256 MiB, or one larger
    image; a volume is read whole, at four bytes a voxel, for every part of it may be asked for.

    DICOM files are put together to series. What cannot be used goes to `options.report`; the rest goes on.
    """
    settings: MedicalPredict = options.settings or MedicalPredict()
    waiting: list[Picture] = []
    for found in find_images(paths, options.report):
        for picture in _pictures(found, settings, options):
            full = (len(waiting) + 1) * picture.image.nbytes > _CHUNK_BYTES or len(waiting) >= options.chunk_items
            if waiting and (full or not picture.like(waiting[0])):
                yield _dataset(waiting)
                waiting = []
            waiting.append(picture)
    if waiting:
        yield _dataset(waiting)


def _pictures(found: Found, settings: MedicalPredict, options: ReadOptions) -> Iterator[Picture]:
    """The images of one file or series; each that cannot be used is reported."""
    try:
        sources = list(_sources(found, settings))
    except DataError as error:
        options.report(error)
        return
    for item, source in sources:
        try:
            image = source.load(options.report)
            yield Picture(item, found.paths[0], found.kind, image, source.spacing_mm(), _attrs(source))
        except DataError as error:
            options.report(error)


def _sources(found: Found, settings: MedicalPredict) -> Iterator[tuple[str, Source]]:
    if found.kind == "array":
        from armillary.domains.medical.sources.array import image_keys, open_array

        for key in image_keys(found.paths[0]):
            for index in range(len(open_array(found.paths[0], key))):
                name = f"{found.item}/{key}/{index}" if key else f"{found.item}/{index}"
                yield name, ArraySource(found.paths[0], key, index)
    elif found.kind == "dicom":
        yield found.item, DicomSource(found.paths, settings.window)
    elif found.kind == "nifti":
        yield found.item, NiftiSource(found.paths[0], settings.window)
    else:
        yield found.item, RasterSource(found.paths[0])


def _attrs(source: Source) -> tuple[tuple[str, Any], ...]:
    """Where the image lies in the patient, as attributes of its chunk."""
    if isinstance(source, NiftiSource):
        affine = source.affine()
        return ("affine", tuple(affine.ravel().tolist())), ("orientation", source.orientation())
    if isinstance(source, DicomSource) and (placed := source.affine()) is not None:
        return (("affine", tuple(placed.ravel().tolist())),)
    return ()


def _dataset(pictures: Sequence[Picture]) -> xr.Dataset:
    first = pictures[0]
    space = ("plane", "row", "column")[-(first.image.ndim - 1) :]
    variables = {
        "image": (("item", "channel", *space), np.stack([one.image for one in pictures]), {"units": "1"}),
        "spacing_mm": (
            ("item", "axis"), np.array([one.spacing_mm for one in pictures], np.float32), {"units": "mm"}
        ),
        "file": ("item", np.array([str(one.file) for one in pictures], np.str_)),
    }  # fmt: skip
    coordinates = {"item": np.array([one.item for one in pictures], np.str_), "axis": list(space)}
    attrs = {name: list(value) if isinstance(value, tuple) else value for name, value in first.attrs}
    return xr.Dataset(variables, coordinates, {"kind": first.kind, **attrs})
