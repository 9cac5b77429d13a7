"""Where pixels lie and how they are read: small frozen objects that open their file when they are asked to."""

from armillary.domains.medical.sources.array import ArrayMask, ArraySource
from armillary.domains.medical.sources.dicom import DicomSource
from armillary.domains.medical.sources.loaded import LoadedSource
from armillary.domains.medical.sources.nifti import NiftiMask, NiftiSource
from armillary.domains.medical.sources.raster import RasterMask, RasterSource
from armillary.domains.medical.sources.source import Measured

__all__ = [
    "ArrayMask",
    "ArraySource",
    "DicomSource",
    "LoadedSource",
    "Measured",
    "NiftiMask",
    "NiftiSource",
    "RasterMask",
    "RasterSource",
]
