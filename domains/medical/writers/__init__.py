"""Writers of predictions: a table, and a folder of masks, overlays, volumes and DICOM segmentations."""

from armillary.domains.medical.writers.csv import stream_csv, table
from armillary.domains.medical.writers.folder import stream_folder

__all__ = ["stream_csv", "stream_folder", "table"]
