"""Writers of separated voices that take predictions as they come."""

from armillary.domains.speech.writers.folder import VoiceFolder, open_folder, stream_folder
from armillary.domains.speech.writers.single import stream_single
from armillary.domains.speech.writers.spool import SUFFIXES, Style
from armillary.domains.speech.writers.table import stream_csv, voices_found

__all__ = [
    "SUFFIXES",
    "Style",
    "VoiceFolder",
    "open_folder",
    "stream_csv",
    "stream_folder",
    "stream_single",
    "voices_found",
]
