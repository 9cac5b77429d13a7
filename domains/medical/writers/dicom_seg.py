"""Masks of a DICOM image or series as a DICOM segmentation object, through highdicom (an extra)."""

import importlib
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from armillary.core.errors import DataError, MissingExtraError
from armillary.core.files import atomic_write
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.sources.dicom_header import Frame
from armillary.domains.medical.sources.warn import ignore

# SNOMED CT: code and meaning.
_ANATOMY = {
    "left_lung": ("44029006", "Left lung"),
    "right_lung": ("3341006", "Right lung"),
    "lungs": ("39607008", "Lung"),
    "lung": ("39607008", "Lung"),
    "heart": ("80891009", "Heart"),
    "liver": ("10200004", "Liver"),
}
_LONGEST_MEANING = 64  # characters


def write_dicom_seg(path: Path, masks: Bool[np.ndarray, "k *s"], names: Sequence[str], source: Path) -> None:
    """One segment for each name, over the frames of the source: a DICOM file, or a slice or the folder of a series.

    masks: (k, rows, columns) or (k, planes, rows, columns), planes in the order in which they were read.

    Raises:
        MissingExtraError: highdicom is not installed. DataError: the source has not the masks' size, or lacks what a
            segmentation refers to.
    """
    try:
        seg = importlib.import_module("highdicom.seg")
    except ImportError as error:
        raise MissingExtraError("highdicom", "dicomseg", "A DICOM segmentation") from error
    planes = masks[:, None] if masks.ndim == 3 else masks
    frames = _frames(source, planes.shape[1:])
    images, order = _sources(frames)
    pixels = planes[:, order].transpose(1, 2, 3, 0).astype(np.uint8)
    try:
        with warnings.catch_warnings():
            # They quote the patient's name.
            warnings.simplefilter("ignore")
            made = _segmentation(seg, images, pixels, names)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"no DICOM segmentation can refer to it ({type(error).__name__})",
            path=source,
            advice="Its header lacks what a segmentation needs. The masks are there as PNG or NIfTI.",
        ) from None
    with atomic_write(path) as temporary:
        made.save_as(temporary)


def _frames(source: Path, shape: tuple[int, ...]) -> list[Frame]:
    """The planes of the source in the order in which they were read, `shape` being (planes, rows, columns)."""
    from armillary.domains.medical.sources.dicom_read import ordered_frames
    from armillary.domains.medical.sources.dicom_series import group_series

    beside = source.iterdir() if source.is_dir() else [source]
    frames = ordered_frames(sorted(path for path in beside if path.is_file()), ignore)
    if len(frames) != shape[0] and not source.is_dir():
        groups = group_series(sorted(path for path in source.parent.iterdir() if path.is_file()), ignore)
        frames = next((ordered_frames(group, ignore) for group in groups if source in group), frames)
    there = (len(frames), *frames[0].size)
    if there != shape:
        sizes = (" x ".join(map(str, each)) for each in (there, shape))
        raise DataError("has {} planes, rows and columns, its masks {}".format(*sizes), path=source)
    return frames


def _sources(frames: Sequence[Frame]) -> tuple[list[Any], list[int]]:
    """The data sets to refer to, and which plane belongs to each of their frames."""
    from armillary.domains.medical.sources.dicom_header import read_dicom

    files = list(dict.fromkeys(frame.path for frame in frames))
    order = list(range(len(frames)))
    if len(files) < len(frames):
        order = sorted(order, key=lambda place: frames[place].number)
    return [read_dicom(path, pixels=True) for path in files], order


def _segmentation(seg: Any, images: list[Any], pixels: np.ndarray, names: Sequence[str]) -> Any:
    highdicom = importlib.import_module("highdicom")
    return seg.Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(seg, number, name) for number, name in enumerate(names, 1)],
        series_instance_uid=highdicom.UID(),
        series_number=1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="armillary",
        manufacturer_model_name="armillary medical",
        software_versions=version("armillary"),
        device_serial_number="0",
        content_label="MASKS",
        content_description=NOTICE,
        series_description=NOTICE,
        omit_empty_frames=False,
    )


def _describe(seg: Any, number: int, name: str) -> Any:
    """One segment; a structure without a code in SNOMED CT here gets one of our own."""
    content: Any = importlib.import_module("highdicom.content")
    coding: Any = importlib.import_module("highdicom.sr.coding")
    known = _ANATOMY.get(name.lower())
    kind = (known[0], "SCT", known[1]) if known else (f"{number:04d}", "99ARMILLARY", name[:_LONGEST_MEANING])
    return seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:_LONGEST_MEANING],
        segmented_property_category=coding.CodedConcept("91723000", "SCT", "Anatomical Structure"),
        segmented_property_type=coding.CodedConcept(*kind),
        algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=content.AlgorithmIdentificationSequence(
            name="armillary",
            version=version("armillary"),
            family=coding.CodedConcept("123110", "DCM", "Artificial Intelligence"),
        ),
    )
