"""A set of mixtures as LibriMix lays it out, made file by file: a halted build goes on where it stopped."""

import csv
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from jaxtyping import Float32

from armillary.core.errors import ConfigError, DataError
from armillary.core.files import atomic_write
from armillary.domains.speech.mixing.lists import Listed
from armillary.domains.speech.mixing.render import Rendered, Roots, render
from armillary.domains.speech.readers.report import Report

STAMP = "mix.json"
MIXTURES = ("mix_clean", "mix_both", "mix_single")


@dataclass(frozen=True)
class Made:
    """What a split has become. scores: mean SI-SDR of each kind of mixture against its voices [dB]."""

    made: int
    kept: int
    left_out: int
    seconds: float
    scores: dict[str, float]


@dataclass(frozen=True)
class MixFolder:
    """`<root>/wav8k/<mode>/<split>/<kind>/<mixture>.wav` with `<root>/wav8k/<mode>/metadata` and `<root>/metadata`."""

    root: Path
    rate_hz: int
    mode: Literal["min", "max"]

    @property
    def audio(self) -> Path:
        """The folder of this rate and mode."""
        rate = f"{self.rate_hz // 1000}k" if self.rate_hz % 1000 == 0 else str(self.rate_hz)
        return self.root / f"wav{rate}" / self.mode

    def list_path(self, split: str, voices: int) -> Path:
        """Where the list of a split lies."""
        return self.root / "metadata" / f"libri{voices}mix_{split}.csv"

    def file(self, split: str, kind: str, name: str) -> Path:
        """Where the signal of a kind (mix_clean, s1, noise, ...) of a mixture lies."""
        return self.audio / split / kind / f"{name}.wav"


def claim(root: Path, settings: dict[str, Any]) -> None:
    """Mark a folder as the set that `settings` make; an unfinished one of the same settings goes on.

    Raises:
        ConfigError: the folder holds something else.
    """
    stamp = root / STAMP
    told = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    if stamp.exists():
        if stamp.read_text() != told:
            changed = _changed(stamp, settings)
            raise ConfigError(f"{root} holds another set of mixtures ({changed}).\n  Give another --out, or remove it.")
        return
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file; a set is a folder.\n  Give another --out.")
    if root.exists() and any(root.iterdir()):
        raise ConfigError(f"{root} holds files that are no set of mixtures.\n  Give another --out.")
    with atomic_write(stamp) as temporary:
        temporary.write_text(told)


def build(
    folder: MixFolder,
    split: str,
    mixtures: Sequence[Listed],
    roots: Roots,
    target: Literal["direct", "reverberant"],
    report: Report,
) -> Made:
    """Write the audio of a split's mixtures and the tables of their paths; what is there already stays.

    A mixture whose recordings cannot be used is reported and left out. Signals are 16-bit WAV.
    """
    rows: list[tuple[Listed, int]] = []
    scores: dict[str, list[float]] = {}
    made = 0
    for listed in mixtures:
        parts = _finished(folder, split, listed, noisy=bool(roots.noises and listed.noise_path))
        try:
            if parts is None:
                parts = render(listed, roots, folder.rate_hz, folder.mode, target)
                _write(folder, split, listed.name, parts)
                made += 1
        except DataError as error:
            report(error)
            continue
        rows.append((listed, parts.sources.shape[1]))
        _score(scores, parts)
    _write_tables(folder, split, rows, list(scores))
    seconds = sum(length for _, length in rows) / folder.rate_hz
    means = {kind: float(np.mean(values)) for kind, values in scores.items()}
    return Made(made, len(rows) - made, len(mixtures) - len(rows), seconds, means)


def _changed(stamp: Path, settings: dict[str, Any]) -> str:
    try:
        known = json.loads(stamp.read_text())
        names = [name for name in {**settings, **known} if known.get(name) != settings.get(name)]
        differ = [f"{name}: {known.get(name, 'none')}, now {settings.get(name, 'none')}" for name in names]
    except (ValueError, AttributeError):
        differ = []
    return "; ".join(differ) or f"its {STAMP} says so"


def _kinds(parts: Rendered) -> dict[str, Float32[np.ndarray, " t"]]:
    signals = {f"s{i}": voice for i, voice in enumerate(parts.sources, start=1)}
    noise = {} if parts.noise is None else {"noise": parts.noise}
    return signals | noise | parts.mixtures()


def _write(folder: MixFolder, split: str, name: str, parts: Rendered) -> None:
    """The mixtures last: where one is, the mixture is whole."""
    for kind, signal in _kinds(parts).items():
        path = folder.file(split, kind, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{name}.part")
        soundfile.write(part, signal, folder.rate_hz, format="WAV", subtype="PCM_16")
        os.replace(part, path)


def _finished(folder: MixFolder, split: str, listed: Listed, *, noisy: bool) -> Rendered | None:
    """What was written before, read again; None if anything of it is missing or not whole."""
    voices = [f"s{i}" for i in range(1, len(listed.paths) + 1)]
    kinds = [*voices, *(("noise", *MIXTURES) if noisy else MIXTURES[:1])]
    paths = {kind: folder.file(split, kind, listed.name) for kind in kinds}
    if not all(path.exists() for path in paths.values()):
        return None
    try:
        signals = {kind: soundfile.read(path, dtype="float32")[0] for kind, path in paths.items()}
    except soundfile.SoundFileError:
        return None
    if len({len(signal) for signal in signals.values()}) != 1:
        return None
    sources = np.stack([signals[kind] for kind in voices])
    # In a room the sum of the voices is another one than that of the sources: only their sum is in a file.
    heard = np.zeros_like(sources)
    heard[0] = signals["mix_clean"]
    return Rendered(heard, sources, signals.get("noise"))


def _score(scores: dict[str, list[float]], parts: Rendered) -> None:
    """Adds the mean SI-SDR of each kind of mixture that holds all voices."""
    import torch

    from armillary.domains.speech.si_sdr import si_sdr

    sources = torch.from_numpy(parts.sources)[None]
    mixtures = parts.mixtures()
    for kind in MIXTURES[:2]:
        if kind in mixtures:
            value = si_sdr(torch.from_numpy(mixtures[kind]).expand_as(sources), sources).mean()
            scores.setdefault(kind, []).append(float(value))


def _write_tables(folder: MixFolder, split: str, rows: Sequence[tuple[Listed, int]], kinds: Sequence[str]) -> None:
    """One table a kind of mixture: name, paths relative to the set's root, length [samples]."""
    noisy = "mix_both" in kinds
    voices = [f"s{i}" for i in range(1, max((len(listed.paths) for listed, _ in rows), default=0) + 1)]
    parts = {"mix_clean": voices, "mix_both": [*voices, "noise"], "mix_single": [*voices[:1], "noise"]}
    for kind in MIXTURES if noisy else MIXTURES[:1]:
        titles = [f"source_{part[1:]}_path" if part != "noise" else "noise_path" for part in parts[kind]]
        path = folder.audio / "metadata" / f"mixture_{split}_{kind}.csv"
        with atomic_write(path) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["mixture_ID", "mixture_path", *titles, "length"])
            for listed, length in rows:
                files = [folder.file(split, part, listed.name) for part in (kind, *parts[kind])]
                inside = [file.relative_to(folder.root).as_posix() for file in files]
                writer.writerow([listed.name, *inside, length])


def line_of(split: str, made: Made) -> str:
    """One line about a split."""
    scores = ", ".join(f"{kind} {value:.2f} dB" for kind, value in made.scores.items() if math.isfinite(value))
    left = f", {made.left_out} left out" if made.left_out else ""
    return (
        f"{split}: {made.made} made, {made.kept} there before{left}; {made.seconds / 60:.1f} minutes; "
        f"mean input SI-SDR {scores or 'unknown'}"
    )
