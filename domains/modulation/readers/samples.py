"""Samples in files: their formats, and streams of them as complex numbers of full scale 1."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Complex64, Float32

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.compressed import unreadable

BLOCK_SAMPLES = 1 << 16
_NAME = re.compile(r"([cr])([fiu])(8|16|32|64)(_le|_be)?")
_SIZES = {"f": (32, 64), "i": (8, 16, 32), "u": (8, 16, 32)}


@dataclass(frozen=True)
class SampleFormat:
    """How one sample lies in a file, named as SigMF names it ('ci16_le').

    Whole numbers are scaled to -1..1 of their range, whose middle is 0: 127.5 for unsigned bytes.
    """

    name: str
    component: np.dtype
    is_complex: bool

    @property
    def size(self) -> int:
        """Bytes of a sample; a complex one has two components."""
        return self.component.itemsize * (2 if self.is_complex else 1)

    def components(self, data: bytes) -> Float32[np.ndarray, " c"]:
        """The numbers of whole samples, scaled."""
        raw = np.frombuffer(data, self.component)
        with np.errstate(over="ignore"):  # what does not fit into float32 is infinite, and is then reported
            values = raw.astype(np.float32)
        half = 2.0 ** (8 * self.component.itemsize - 1)
        if self.component.kind == "u":
            values = (values - np.float32(half - 0.5)) / np.float32(half - 0.5)
        elif self.component.kind == "i":
            values /= np.float32(half)
        return values


def sample_format(name: str) -> SampleFormat | None:
    """The format of a SigMF datatype such as 'cf32_le'; None where it is none.

    A name that tells no byte order is taken as little-endian, which all supported machines are.
    """
    match = _NAME.fullmatch(name)
    if match is None or int(match[3]) not in _SIZES[match[2]]:
        return None
    order = ">" if match[4] == "_be" else "<"
    return SampleFormat(name, np.dtype(f"{order}{match[2]}{int(match[3]) // 8}"), match[1] == "c")


def stream_samples(
    path: Path, form: SampleFormat, offset: int, count: int, block: int = BLOCK_SAMPLES
) -> Iterator[Complex64[np.ndarray, " s"]]:
    """`count` samples of a file from byte `offset` on, in blocks; real samples become their analytic signal.

    Raises:
        DataError: the file cannot be read, or ends before `count` samples.
    """
    components = _stream(path, form, offset, count, block)
    if form.is_complex:
        yield from (part.view(np.complex64) for part in components)
        return
    # Here: the filter's library is slow to import, and few files hold real samples.
    from armillary.domains.modulation.readers.receiver_audio import stream_analytic

    yield from (join_rails(part) for part in stream_analytic(components))


def join_rails(iq: Float32[np.ndarray, "2 s"]) -> Complex64[np.ndarray, " s"]:
    """Rows I and Q as complex samples."""
    return np.ascontiguousarray(iq.T).view(np.complex64)[:, 0]


def _stream(path: Path, form: SampleFormat, offset: int, count: int, block: int) -> Iterator[Float32[np.ndarray, " c"]]:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            for done in range(0, count, block):
                wanted = min(block, count - done)
                data = stream.read(wanted * form.size)
                whole = len(data) // form.size
                if whole:
                    yield form.components(data[: whole * form.size])
                if whole < wanted:
                    raise DataError(
                        f"ends after {done + whole} samples, {count} were expected",
                        path=path,
                        advice="It was cut short while it was read; what came before is used.",
                    )
    except OSError as error:
        raise unreadable(path, error) from error
