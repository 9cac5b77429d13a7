"""A folder of predictions: masks, overlays, volumes, DICOM segmentations and heat maps, beside a table of them all."""

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr

from armillary.core.errors import DataError, MissingExtraError
from armillary.core.files import advised
from armillary.domains.medical.writers.csv import stream_csv
from armillary.domains.medical.writers.names import Names, slug
from armillary.domains.medical.writers.pictures import colour_of, contoured, heated, write_looked_at, write_mask
from armillary.domains.medical.writers.said import Masks, file_of, has_masks, masks_of, names_of, pictures_of
from armillary.domains.medical.writers.source import image_shown, is_dicom

TABLE = "predictions.csv"


@contextmanager
def stream_folder(path: Path) -> Generator[Callable[[xr.Dataset], None], None, None]:
    """Takes predictions chunk by chunk; each file in the folder appears whole, the table when the block ends well.

    Masks of pictures: <stem>_<structure>.png and, where the image can be had, <stem>_overlay.png with contours. Masks
    of volumes: <stem>_<structure>.nii.gz, and the overlay of the plane that shows most. Of DICOM also <stem>_seg.dcm.
    Maps of labels: <stem>_<label>.png, heat over the image. Always predictions.csv. What else lies there stays.

    Raises:
        DataError: the place is a file, or the disk does not take the files.
    """
    if path.exists() and not path.is_dir():
        raise DataError(
            "is a file; expected a folder, which a name without suffix stands for",
            path=path,
            advice="Choose another name for --out.",
        )
    with advised(path):
        path.mkdir(parents=True, exist_ok=True)
    names = Names()
    with stream_csv(path / TABLE) as append_row:

        def append(prediction: xr.Dataset) -> None:
            with advised(path):
                for place in range(prediction.sizes["item"]):
                    stem = names(str(prediction["item"].values[place]), file_of(prediction, place))
                    _write_item(path / stem, prediction, place)
            append_row(prediction)

        yield append


def _write_item(stem: Path, prediction: xr.Dataset, place: int) -> None:
    if has_masks(prediction):
        masks = masks_of(prediction, place)
        if masks.found.ndim == 4:
            _write_volumes(stem, masks, prediction, place)
        else:
            for name, mask in zip(masks.names, masks.found, strict=True):
                write_mask(_beside(stem, name, ".png"), mask)
        _write_overlay(stem, masks, prediction, place)
        if is_dicom(prediction, place):
            _write_dicom(stem, masks, Path(file_of(prediction, place)))
    if "map" in prediction:
        _write_heat(stem, prediction, place)


def _beside(stem: Path, name: str, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}_{slug(name)}{suffix}")


def _write_volumes(stem: Path, masks: Masks, prediction: xr.Dataset, place: int) -> None:
    from armillary.domains.medical.writers.nifti import write_nifti

    for name, mask in zip(masks.names, masks.found, strict=True):
        write_nifti(_beside(stem, name, ".nii.gz"), mask, prediction, place)


def _write_overlay(stem: Path, masks: Masks, prediction: xr.Dataset, place: int) -> None:
    image = image_shown(prediction, place, masks.found.shape[1:])
    if image is None:
        return
    found = masks.found
    if found.ndim == 4:
        plane = int(found.sum((0, 2, 3)).argmax()) if found.any() else found.shape[1] // 2
        image, found = image[:, plane], found[:, plane]
    write_looked_at(_beside(stem, "overlay", ".png"), contoured(colour_of(image), found))


def _write_dicom(stem: Path, masks: Masks, source: Path) -> None:
    """What is written already stays where this cannot be: a missing package or a poor header is told as a warning."""
    from armillary.domains.medical.writers.dicom_seg import write_dicom_seg

    try:
        write_dicom_seg(_beside(stem, "seg", ".dcm"), masks.found, masks.names, source)
    except (MissingExtraError, DataError) as error:
        warnings.warn(str(error), RuntimeWarning, stacklevel=2)


def _write_heat(stem: Path, prediction: xr.Dataset, place: int) -> None:
    """Heat over the image, or by itself where the image cannot be had; of volumes the hottest plane."""
    maps = pictures_of(prediction, "map", place)
    image = image_shown(prediction, place, maps.shape[1:])
    grey = np.zeros((1, *maps.shape[1:]), np.float32) if image is None else image
    for name, heat in zip(names_of(prediction), maps, strict=True):
        shown, under = heat, grey
        if heat.ndim == 3:
            plane = int(heat.max((1, 2)).argmax())
            shown, under = heat[plane], grey[:, plane]
        write_looked_at(_beside(stem, name, ".png"), heated(colour_of(under), shown))
