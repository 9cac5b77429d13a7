"""Fabricated files of the field: small, from a seed, laid out as the real ones are."""

import gzip
import json
import pickle
import struct
import tarfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from armillary.core.errors import DataError
from armillary.domains.modulation.classes import RML2018
from armillary.domains.modulation.frames import Frames, concat
from armillary.domains.modulation.readers.capture import Capture, windows
from armillary.domains.modulation.settings import ModulationPredict


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tone(count: int, seed: int = 0) -> np.ndarray:
    """Complex samples."""
    iq = noise(2, count, seed=seed)
    return (iq[0] + 1j * iq[1]).astype(np.complex64)


class Fabricator:
    """Writes files of the field into a folder, and reads back what came of them."""

    noise, tone = staticmethod(noise), staticmethod(tone)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def joined(self, parts: Iterator[Frames]) -> Frames:
        """All frames of a reader."""
        return concat(list(parts))

    def cut(
        self, capture: Capture, problems: list[DataError], length: int = 8, chunk_items: int = 1024, **settings: Any
    ) -> list[Frames]:
        """The windows of a capture, in chunks."""
        return list(windows(capture, ModulationPredict(window=length, **settings), chunk_items, problems.append))

    def samples(self, capture: Capture) -> np.ndarray:
        """All samples of a capture."""
        return np.concatenate([np.zeros(0, np.complex64), *capture.blocks()])

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def rml(self, name: str = "a.pkl", per_key: int = 3, protocol: int = 2, length: int = 16, **more: Any) -> Path:
        """A set of two classes and two SNRs; `more` replaces keys by 'label_snr'."""
        keys = [(label, snr) for label in ("QPSK", "BPSK") for snr in (18, -20)]
        content: dict[Any, Any] = {key: noise(per_key, 2, length, seed=i) for i, key in enumerate(keys)}
        for key, value in more.items():
            label, _, snr = key.partition("_")
            content[(label, int(snr.replace("m", "-")))] = value
        data = pickle.dumps(content, protocol)
        return self.write(name, gzip.compress(data) if name.endswith(".gz") else data)

    def hdf5(self, name: str = "GOLD.hdf5", rows: int = 60, length: int = 32, **changes: Any) -> Path:
        """RML2018.01a in small: rows in turn of every class, SNRs -20, -18, ..."""
        path = self.folder / name
        content: dict[str, Any] = {
            "X": noise(rows, length, 2),
            "Y": np.eye(len(RML2018), dtype=np.int64)[np.arange(rows) % len(RML2018)],
            "Z": (-20 + 2 * (np.arange(rows, dtype=np.int64) % 26))[:, None],
        }
        with h5py.File(path, "w") as file:
            for key, value in (content | changes).items():
                if value is not None:
                    file.create_dataset(key, data=value, chunks=(4, *value.shape[1:]) if key == "X" else None)
        return path

    def hisarmod(
        self, part: str = "Train", rows: int = 5, codes: Sequence[str] = ("0", "61", "54"), **lines: str
    ) -> Path:
        """Tables of one part; `lines` replaces rows of data by 'row3'."""
        folder, prefix = f"HisarMod2019.1/{part}", part.lower()
        values = tone(rows * 1024, seed=rows).reshape(rows, 1024)
        text = [",".join(f"{z.real:.6g}{z.imag:+.6g}i" for z in row) for row in values]
        for name, line in lines.items():
            text[int(name[3:])] = line
        self.write(f"{folder}/{prefix}_labels.csv", "\n".join(codes[i % len(codes)] for i in range(rows)).encode())
        self.write(f"{folder}/{prefix}_snr.csv", "\n".join(str(-20 + 2 * i) for i in range(rows)).encode())
        return self.write(f"{folder}/{prefix}_data.csv", "\n".join(text).encode() + b"\n")

    def sigmf(self, name: str = "a", data: bytes | None = None, datatype: str = "cf32_le", **more: Any) -> Path:
        """A pair; `more` holds captures, annotations and global fields (core: is put before their names)."""
        captures = more.pop("captures", [{"core:sample_start": 0, "core:frequency": 145.8e6}])
        annotations = more.pop("annotations", [])
        about = {"core:datatype": datatype, "core:version": "1.2.0", "core:sample_rate": 1e6}
        about |= {f"core:{key}": value for key, value in more.items()}
        about = {key: value for key, value in about.items() if value is not None}
        self.write(f"{name}.sigmf-data", tone(100).tobytes() if data is None else data)
        meta = {"global": about, "captures": captures, "annotations": annotations}
        return self.write(f"{name}.sigmf-meta", json.dumps(meta).encode())

    def wav(
        self, name: str, samples: np.ndarray, rate: int = 48000, auxi: bytes = b"", claim: int | None = None
    ) -> Path:
        """int16 samples (n, channels); `claim` is the length that the header tells."""
        data = np.ascontiguousarray(samples, "<i2").tobytes()
        channels = samples.shape[1]
        form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
        chunks = b"fmt " + struct.pack("<I", len(form)) + form
        if auxi:
            chunks += b"auxi" + struct.pack("<I", len(auxi)) + auxi + b"\0" * (len(auxi) % 2)
        chunks += b"data" + struct.pack("<I", len(data) if claim is None else claim) + data
        return self.write(name, b"RIFF" + struct.pack("<I", (4 + len(chunks)) % 2**32) + b"WAVE" + chunks)

    def tar(self, name: str, members: dict[str, bytes], **links: str) -> Path:
        """An uncompressed archive; `links` are symbolic ones."""
        path = self.folder / name
        with tarfile.open(path, "w") as archive:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, BytesIO(content))
            for member, target in links.items():
                info = tarfile.TarInfo(member)
                info.type, info.linkname = tarfile.SYMTYPE, target
                archive.addfile(info)
        return path


@pytest.fixture
def make(tmp_path: Path) -> Fabricator:
    return Fabricator(tmp_path)


class Problems(list[DataError]):
    """Collects what is reported."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))


@pytest.fixture
def problems() -> Problems:
    return Problems()
