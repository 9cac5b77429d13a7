"""From stored DICOM numbers to grey values: decoding, modality, window, photometry."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.dicom_header import num_frames, of_frame
from armillary.domains.medical.sources.grey import percentiles, scaled
from armillary.domains.medical.sources.guard import reading

Window = tuple[float, float]
# Whose stored range says nothing about what is bright: without a window, percentiles of the values stand in.
_MEASURED = ("CT", "MR", "PT", "NM")


def decoded(dataset: Dataset, path: Path) -> Float32[np.ndarray, "c n rows columns"]:
    """Frames in the units of the modality, one channel; or in colour, three channels in [0, 1].

    Raises:
        DataError: no decoder is installed for the file's compression, or its pixels are damaged.
    """
    syntax = _check_decoder(dataset, path)
    with reading(path, f"DICOM pixels ({syntax.name})", advice=_install(syntax)):
        values = pixel_array(dataset)
    with reading(path, "DICOM pixels"):
        if str(dataset.PhotometricInterpretation) == "PALETTE COLOR":
            values = apply_color_lut(values, dataset)
            return _colour(values, float(np.iinfo(values.dtype).max), dataset)
        if int(dataset.get("SamplesPerPixel") or 1) == 3:
            return _colour(values, 2.0 ** int(dataset.BitsStored) - 1, dataset)
        return _modality(values, dataset)[None]


def windowed(
    values: Float32[np.ndarray, "n rows columns"], dataset: Dataset, window: Window | None, path: Path, report: Report
) -> Float32[np.ndarray, "n rows columns"]:
    """Grey values in [0, 1] of values in the units of the modality, white where the film is to be white.

    By `window` (centre, width); else by the file's table or its first window; else CT, MR and nuclear medicine by their
    percentiles 0.5 and 99.5, others by the stored bit depth. The input is written to.
    """
    told = (window, "LINEAR") if window is not None else _first_window(dataset, path, report)
    if window is None and dataset.get("VOILUTSequence"):
        with reading(path, "a DICOM table of values"):
            table = dataset.VOILUTSequence[0]
            values = np.clip(_looked_up(values, table) / np.float32(2 ** int(table.LUTDescriptor[2]) - 1), 0, 1)
    elif told is not None:
        values = _by_window(values, *told)
    else:
        values = scaled(values, *_range(values, dataset))
    inverted = str(dataset.PhotometricInterpretation) == "MONOCHROME1"
    return np.float32(1) - values if inverted else values


def _check_decoder(dataset: Dataset, path: Path) -> UID:
    syntax = UID(str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "")))
    try:
        ready = get_decoder(syntax).is_available
    except NotImplementedError:
        ready = False
    if not ready:
        raise DataError(
            f"is compressed as {syntax.name} ({syntax}), for which no decoder is installed", path=path,
            advice=_install(syntax),
        )  # fmt: skip
    return syntax


def _install(syntax: UID) -> str:
    """What can be done about a compression."""
    try:
        missing = [text.partition(" - requires ")[2] for text in get_decoder(syntax).missing_dependencies]
    except NotImplementedError:
        missing = []
    packages = next((text for text in reversed(missing) if text), "")
    other = "store the file uncompressed, with dcmdjpeg or gdcmconv --raw"
    return f"Install {packages}, or {other}." if packages else f"{other[0].upper()}{other[1:]}."


def _colour(values: np.ndarray, white: float, dataset: Dataset) -> Float32[np.ndarray, "3 n rows columns"]:
    values = values.reshape(num_frames(dataset), int(dataset.Rows), int(dataset.Columns), 3)
    image = np.clip(values.astype(np.float32) / np.float32(white), 0, 1)
    return np.ascontiguousarray(np.moveaxis(image, -1, 0))


def _modality(values: np.ndarray, dataset: Dataset) -> Float32[np.ndarray, "n rows columns"]:
    values = values.reshape(num_frames(dataset), int(dataset.Rows), int(dataset.Columns))
    values = values.astype(np.float32)
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(values, dataset.ModalityLUTSequence[0])
    for number, plane in enumerate(values):
        slope, intercept = _rescale(dataset, number)
        if (slope, intercept) != (1.0, 0.0):
            plane *= np.float32(slope)
            plane += np.float32(intercept)
    return values


def _looked_up(values: Float32[np.ndarray, "n rows columns"], table: Dataset) -> Float32[np.ndarray, "n rows columns"]:
    """The entries of a table for values, the first and the last beyond its ends.

    pydicom's own functions wrap places beyond 255 around where the entries have 8 bits.
    """
    count, first = int(table.LUTDescriptor[0]) or 1 << 16, int(table.LUTDescriptor[1])
    entries = table.LUTData
    if isinstance(entries, bytes):
        entries = np.frombuffer(entries, np.uint8 if len(entries) < 2 * count else "<u2")
    entries = np.asarray(entries, np.float32)[:count]
    places = np.clip(np.rint(values) - first, 0, len(entries) - 1).astype(np.int64)
    return entries[places]


def _rescale(dataset: Dataset, number: int) -> tuple[float, float]:
    slope = of_frame(dataset, number, "PixelValueTransformationSequence", "RescaleSlope")
    intercept = of_frame(dataset, number, "PixelValueTransformationSequence", "RescaleIntercept")
    return (1.0, 0.0) if slope is None or intercept is None else (float(slope), float(intercept))


def _first_window(dataset: Dataset, path: Path, report: Report) -> tuple[Window, str] | None:
    with reading(path, "a DICOM window"):
        centre, width, function = (
            of_frame(dataset, 0, "FrameVOILUTSequence", keyword)
            for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction")
        )
        if centre is None or width is None:
            return None
        window = float(np.ravel(centre)[0]), float(np.ravel(width)[0])
    if not np.isfinite(window).all() or window[1] <= 0:
        report(DataError(f"has a window of centre {window[0]:g} and width {window[1]:g}; it is not used", path=path))
        return None
    return window, str(function or "LINEAR").upper()


def _by_window(
    values: Float32[np.ndarray, "n rows columns"], window: Window, function: str
) -> Float32[np.ndarray, "n rows columns"]:
    """The window function of PS3.3 C.11.2.1.2 and C.11.2.1.3 with an output from 0 to 1."""
    centre, width = window
    if function == "SIGMOID":
        # Beyond 80 the float32 exponential overflows, and the result is 0 or 1 all the same.
        return (1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -80, 80)))).astype(np.float32)
    if function == "LINEAR_EXACT":
        return scaled(values, centre - width / 2, centre + width / 2)
    if width <= 1:
        return (values > centre - 0.5).astype(np.float32)
    return scaled(values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


def _range(values: Float32[np.ndarray, "n rows columns"], dataset: Dataset) -> tuple[float, float]:
    if "PixelData" not in dataset or str(dataset.get("Modality") or "") in _MEASURED:
        return percentiles(values)
    if dataset.get("ModalityLUTSequence"):
        return 0.0, float(2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    bits, signed = int(dataset.BitsStored), bool(dataset.get("PixelRepresentation"))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = _rescale(dataset, 0)
    ends = low * slope + intercept, high * slope + intercept
    return min(ends), max(ends)
