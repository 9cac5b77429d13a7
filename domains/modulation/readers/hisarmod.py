"""HisarMod2019.1: Train and Test folders of CSV tables, one frame of 1024 complex numbers a row.

Layout and codes as two independent converters in public use read them (the data themselves were not at hand):
`Train/train_data.csv`, `train_labels.csv`, `train_snr.csv` and the same under Test, without headers; a row of data is
comma-separated complex numbers as MATLAB writes them, "0.1234-0.5678i"; a label's last digit is the family, the digits
before it the member.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.readers.compressed import open_plain
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.unusable import usable

CLASSES = {
    0: "BPSK", 10: "QPSK", 20: "8PSK", 30: "16PSK", 40: "32PSK", 50: "64PSK",
    1: "4QAM", 11: "8QAM", 21: "16QAM", 31: "32QAM", 41: "64QAM", 51: "128QAM", 61: "256QAM",
    2: "2FSK", 12: "4FSK", 22: "8FSK", 32: "16FSK",
    3: "4PAM", 13: "8PAM", 23: "16PAM",
    4: "AM-DSB", 14: "AM-DSB-SC", 24: "AM-USB", 34: "AM-LSB", 44: "FM", 54: "PM",
}  # fmt: skip
LENGTH = 1024
_ROWS = 256  # rows at a time
_LINE_BYTES = 1 << 20  # a row of data has about 40 kB
_TABLE_ROWS = 10_000_000
_LAYOUT = "Expected HisarMod2019.1: <part>_data.csv, <part>_labels.csv and <part>_snr.csv side by side."


def tables(path: Path) -> list[Path]:
    """A table of samples and those that belong to it."""
    return [path, *(table for kind in ("labels", "snr") if (table := _beside(path, kind)) is not None)]


def is_data_table(path: Path) -> bool:
    """Whether a path is named as a table of samples that has its labels beside it."""
    return path.name.lower().endswith("_data.csv") and _beside(path, "labels") is not None


def read_hisarmod(path: Path, report: Report) -> Iterator[Frames]:
    """Frames of one table of samples, a few hundred at a time; ids are 'train/0000042', each frame its own group.

    Rows that cannot be read, have another number of samples, an unknown label, NaN or nothing but zeros are reported
    and left out.

    Raises:
        DataError: labels or SNRs are missing, or the three tables have different numbers of rows.
    """
    codes, snr = (_column(path, kind) for kind in ("labels", "snr"))
    if len(codes) != len(snr):
        raise DataError(f"has {len(codes)} labels but {len(snr)} SNRs", path=path, advice=_LAYOUT)
    rows: list[int] = []
    values: list[np.ndarray] = []
    number = -1
    for number, line in enumerate(_lines(path)):
        if number >= len(codes):
            raise DataError(f"has more rows than its {len(codes)} labels", path=path, advice=_LAYOUT)
        try:
            values.append(_frame(line))
            rows.append(number)
        except ValueError as error:
            report(DataError(str(error), path=path, row=number + 1, advice="The row is left out."))
        if len(rows) == _ROWS:
            yield from _frames(path, rows, values, codes, snr, report)
            rows, values = [], []
    yield from _frames(path, rows, values, codes, snr, report)
    if number + 1 < len(codes):
        report(
            DataError(
                f"has {number + 1} rows but {len(codes)} labels", path=path, advice="The rows that are there are used."
            )
        )


def _beside(path: Path, kind: str) -> Path | None:
    """The table of labels or SNRs that belongs to a table of samples."""
    name = path.name[: -len("data.csv")] + f"{kind}.csv"
    return next((other for other in path.parent.glob("*.csv") if other.name.lower() == name.lower()), None)


def _column(path: Path, kind: str) -> np.ndarray:
    """The one column of a table of labels or SNRs; what is no number is NaN."""
    table = _beside(path, kind)
    if table is None:
        raise DataError(f"has no table of {kind} beside it", path=path, advice=_LAYOUT)
    numbers: list[float] = []
    for line in _lines(table):
        if len(numbers) == _TABLE_ROWS:
            raise DataError(f"has more than {_TABLE_ROWS} rows", path=table, advice=_LAYOUT)
        try:
            numbers.append(float(line))
        except ValueError:
            numbers.append(np.nan)
    return np.array(numbers, np.float64)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a table that hold something."""
    with open_plain(path) as stream:
        while line := stream.readline(_LINE_BYTES):
            if len(line) == _LINE_BYTES:
                raise DataError(f"has a row of more than {_LINE_BYTES} bytes", path=path, advice=_LAYOUT)
            if line.strip():
                yield line.strip()


def _frame(line: bytes) -> Float32[np.ndarray, "2 1024"]:
    fields = line.replace(b"i", b"j").decode("ascii", "replace").split(",")
    if len(fields) != LENGTH:
        raise ValueError(f"has {len(fields)} samples, expected {LENGTH}")
    try:
        row = np.array([complex(field) for field in fields])
    except ValueError:
        raise ValueError("holds text that is no complex number such as 0.1-0.2i") from None
    with np.errstate(over="ignore"):
        return np.stack([np.real(row), np.imag(row)]).astype(np.float32)


def _frames(
    path: Path, rows: Sequence[int], values: Sequence[np.ndarray], codes: np.ndarray, snr: np.ndarray, report: Report
) -> Iterator[Frames]:
    if not rows:
        return
    part = path.name[: -len("_data.csv")].lower()
    ids = np.array([f"{part}/{row:07d}" for row in rows], np.str_)
    iq = np.stack(values)
    good = usable(iq, path, lambda index: str(ids[index]), report)
    for place, row in enumerate(rows):
        if good[place] and (codes[row] not in CLASSES or not np.isfinite(snr[row])):
            good[place] = False
            told = f"label {codes[row]:g} and SNR {snr[row]:g}"
            report(
                DataError(
                    f"{told}; expected a known code and a number",
                    path=path,
                    item=str(ids[place]),
                    advice="The row is left out.",
                )
            )
    kept = np.flatnonzero(good)
    if len(kept):
        chosen = np.array(rows)[kept]
        yield Frames(
            iq[kept], np.array([CLASSES[int(code)] for code in codes[chosen]], np.str_), snr[chosen].astype(np.float32),
            ids[kept], ids[kept], np.zeros(len(kept), np.int64), sources=(str(path),),
        )  # fmt: skip
