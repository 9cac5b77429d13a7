"""Raw interleaved I and Q without a header: complex64, int16 or uint8, by suffix or as the settings say."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.capture import Capture
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.samples import SampleFormat, sample_format, stream_samples
from armillary.domains.modulation.settings import ModulationPredict

# Little-endian, as every common receiver program writes.
SUFFIXES: Mapping[str, str] = {
    ".cf32": "cf32", ".fc32": "cf32", ".cfile": "cf32", ".c64": "cf32", ".iq": "cf32",
    ".cs16": "ci16", ".sc16": "ci16", ".cs8": "ci8", ".sc8": "ci8", ".cu8": "cu8", ".rtl": "cu8",
}  # fmt: skip
_DTYPES = {"complex64": "cf32", "int16": "ci16", "uint8": "cu8"}


def open_raw(path: Path, settings: ModulationPredict, report: Report) -> Iterator[Capture]:
    """The samples of a raw file; its rate and centre frequency are unknown to it.

    A file that ends within a sample is reported, with its size, and the whole samples before are used.

    Raises:
        DataError: neither the suffix nor the settings tell the format.
    """
    form = _format(path, settings)
    size = path.stat().st_size
    count, rest = divmod(size, form.size)
    if rest:
        report(
            DataError(
                f"has {size} bytes, which is no whole number of samples of {form.size} bytes ({form.name}): "
                f"{rest} are left over",
                path=path,
                advice="The whole samples are used. Check the format (--set predict.dtype=...) and the file's length.",
            )
        )
    yield Capture(str(path), lambda: stream_samples(path, form, 0, count))


def _format(path: Path, settings: ModulationPredict) -> SampleFormat:
    name = SUFFIXES.get(path.suffix.lower()) if settings.dtype == "auto" else _DTYPES[settings.dtype]
    form = sample_format(name) if name else None
    if form is None:
        raise DataError(
            f"its suffix '{path.suffix}' tells no format of raw samples (known: {', '.join(SUFFIXES)})",
            path=path,
            advice=f"Say it with --set predict.dtype=... ({', '.join(_DTYPES)}).",
        )
    return form
