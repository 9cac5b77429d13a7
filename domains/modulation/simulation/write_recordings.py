"""Simulated receiver audio in the layout of the satellite recordings: wav.tar.xz and its table labels.csv."""

import hashlib
import io
import lzma
import tarfile
import wave
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from armillary.core.domain import Size
from armillary.core.random import item_seeds
from armillary.domains.modulation.classes import SATELLITE
from armillary.domains.modulation.readers.satellites import ARCHIVE, TABLE
from armillary.domains.modulation.simulation.receiver_audio import receiver_audio
from armillary.domains.modulation.simulation.receiver_symbols import RATE_HZ

# SNR labels of recordings [dB]: at lower ones a slow burst in a wide receiver cannot be told from the noise around it.
_SNR_DB = (16.0, 22.0, 28.0)
_WINDOW = 1024
_BAUD = {"AFSK": "4800", "BPSK": "1200|9600", "FSK": "4800|9600"}


def write_satellites_twin(folder: Path, seed: int) -> tuple[int, str]:
    """Ten recordings of four burst windows as the real set has them, one of them DBPSK; gives count and broken file."""
    return _write(folder, seed, 10, 4, "twin", with_snr=False)


def write_simulated_receiver_audio(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """Recordings of known SNR: 10 of each class and SNR label with eight burst windows, or nine small ones."""
    if size == "twin":
        return _write(folder, seed, 9, 4, "twin", with_snr=True)
    count, _ = _write(folder, seed, 10 * len(SATELLITE) * len(_SNR_DB), 8, "", with_snr=True)
    return count, None


def _write(folder: Path, seed: int, count: int, burst_windows: int, broken: str, *, with_snr: bool) -> tuple[int, str]:
    """The last file is cut short after its digest was taken, if one shall be broken."""
    place = np.arange(count, dtype=np.int64) % len(SATELLITE)
    snr_db = np.array(_SNR_DB, np.float32)[np.arange(count) // len(SATELLITE) % len(_SNR_DB)]
    seeds = item_seeds(np.arange(count, dtype=np.int64), seed, "recording")
    noise = _WINDOW * max(1, burst_windows // 4)
    stop = noise + _WINDOW * burst_windows
    audio, _ = receiver_audio(place, snr_db, seeds, stop + noise, (noise, stop))
    files = {f"sim_{index:03d}.wav": _wave_bytes(row) for index, row in enumerate(audio)}
    rows = [_row(name, data, SATELLITE[k]) for (name, data), k in zip(files.items(), place.tolist(), strict=True)]
    table = pd.DataFrame(rows)
    if with_snr:
        table["snr_db"] = snr_db
    else:
        table.loc[table["modulation"].eq("BPSK").idxmax(), "modulation"] = "DBPSK"
    last = rows[-1]["file"]
    if broken:
        files[str(last)] = files[str(last)][: len(files[str(last)]) // 2]
    (folder / ARCHIVE).write_bytes(_tar_xz(files))
    (folder / TABLE).write_text(table.to_csv(index=False, lineterminator="\n"))
    return count, str(last)


def _row(name: str, data: bytes, label: str) -> dict[str, object]:
    num_samples = (len(data) - 44) // 2
    return {
        "file": name,
        "satellite": f"SIM-{name[4:7]}",
        "modulation": label,
        "decoded": 0,
        "candidate_baudrates": _BAUD[label],
        "candidate_framings": "none",
        "sample_rate_hz": int(RATE_HZ),
        "n_samples": num_samples,
        "duration_s": round(num_samples / RATE_HZ, 3),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _wave_bytes(audio: Float32[np.ndarray, " t"]) -> bytes:
    """A mono WAV file of 16-bit samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(int(RATE_HZ))
        file.writeframes(np.rint(audio * 32768).astype("<i2").tobytes())
    return buffer.getvalue()


def _tar_xz(files: dict[str, bytes]) -> bytes:
    """An archive whose bytes depend on its files alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"wav/{name}")
            info.size, info.mode, info.mtime = len(data), 0o644, 0
            archive.addfile(info, io.BytesIO(data))
    return lzma.compress(buffer.getvalue(), preset=6)
