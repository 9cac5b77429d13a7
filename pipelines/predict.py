"""`predict`: files of the field in, files of the field out; what is bad is named and skipped."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError, RunError
from armillary.core.files import atomic_write
from armillary.pipelines.inference import join, predict_items
from armillary.pipelines.peak_memory import peak_memory

if TYPE_CHECKING:
    from armillary.pipelines.run import Run

_SHOWN = 20
_FOLDER = "a folder (a name without suffix)"


@dataclass
class Summary:
    """What a prediction did: items written, and each problem that was skipped over.

    wall_s: time from reading the first file to the last output [s]; signal_s: seconds of signal predicted, None where
    the domain cannot tell; peak_bytes: largest resident memory of the process, None where the system does not tell.
    """

    items: int = 0
    problems: list[DataError] = field(default_factory=list[DataError])
    written: list[Path] = field(default_factory=list[Path])
    wall_s: float = 0.0
    signal_s: float | None = None
    peak_bytes: float | None = None

    @property
    def real_time_factor(self) -> float | None:
        """Seconds that a second of signal took."""
        return self.wall_s / self.signal_s if self.signal_s else None

    def __str__(self) -> str:
        # Each chunk of a file may say the same.
        texts = list(dict.fromkeys(map(str, self.problems)))
        lines = texts[:_SHOWN]
        if len(texts) > _SHOWN:
            lines.append(f"... and {len(texts) - _SHOWN} more problems")
        places = ", ".join(map(str, self.written)) or "nothing"
        lines.append(f"{self.items} items predicted, {len(self.problems)} problems; wrote {places}")
        return "\n".join([*lines, self._cost()] if self.wall_s else lines)

    def _cost(self) -> str:
        factor = self.real_time_factor
        signal = "" if factor is None else f" for {self.signal_s:.1f} s of signal (real-time factor {factor:.3g})"
        memory = "" if self.peak_bytes is None else f", peak memory {self.peak_bytes / 1e6:.0f} MB"
        return f"{self.wall_s:.1f} s{signal}{memory}"


def predict(
    run: "Run", inputs: Sequence[Path], outs: Sequence[Path], *, settings: Any = None, chunk_items: int = 1024
) -> Summary:
    """Predictions for everything that can be read from `inputs`, written to each of `outs` by its suffix.

    Reads a bounded chunk at a time. Where every output can be written chunk by chunk, memory does not grow with the
    inputs; for the others the predictions are joined first. Problems are collected in the summary; the rest goes on.

    Raises:
        RunError: an input does not exist, an output has an unknown suffix, or nothing could be predicted.
    """
    began = time.perf_counter()
    _check(run, inputs, outs)
    if chunk_items < 1:
        raise RunError(f"--chunk-items {chunk_items}: expected 1 or more items in memory at once.")
    summary = Summary()
    parts = _predictions(run, inputs, summary, settings, chunk_items)
    first = next(parts, None)
    if first is None:
        raise RunError(f"{summary}\nNothing could be predicted from {', '.join(map(str, inputs))}.")
    _write(run, chain([first], parts), outs)
    summary.written += outs
    summary.wall_s = time.perf_counter() - began
    summary.peak_bytes = peak_memory()
    return summary


def _write(run: "Run", parts: Iterator[xr.Dataset], outs: Sequence[Path]) -> None:
    """Writes each chunk to every output that takes chunks before the next is predicted; then the others."""
    streams = run.domain.streams
    later = [out for out in outs if out.suffix not in streams]
    kept: list[xr.Dataset] = []
    with ExitStack() as stack:
        appends = [stack.enter_context(streams[out.suffix](out)) for out in outs if out.suffix in streams]
        for part in parts:
            for append in appends:
                append(part)
            if later:
                kept.append(part)
    if later:
        prediction = join(kept)
        for out in later:
            with atomic_write(out) as temporary, _named(out, temporary):
                run.domain.write(prediction, temporary)


@contextmanager
def _named(out: Path, temporary: Path) -> Generator[None, None, None]:
    """Problems of the file under its temporary name are told with its own."""
    try:
        yield
    except DataError as error:
        if error.path != temporary:
            raise
        raise DataError(
            error.problem, path=out, item=error.item, row=error.row, card=error.card, advice=error.advice
        ) from error


def _check(run: "Run", inputs: Sequence[Path], outs: Sequence[Path]) -> None:
    for path in inputs:
        if not path.exists():
            raise RunError(f"{path}: no such file or folder. Give files that {run.domain.name} reads.")
    given = {path.resolve() for path in inputs if path.is_file()}
    for path in outs:
        if path.resolve() in given:
            raise RunError(f"--out {path}: is an input, which the output would replace. Choose another name.")
        if path.suffix not in run.domain.formats:
            raise RunError(
                f"--out {path}: cannot write '{path.suffix or path.name}'. "
                f"{run.domain.name} writes {', '.join(suffix or _FOLDER for suffix in run.domain.formats)}."
            )


def _predictions(
    run: "Run", inputs: Sequence[Path], summary: Summary, settings: Any, chunk_items: int
) -> Iterator[xr.Dataset]:
    config = run.config if settings is None else run.config.model_copy(update={"predict": settings})
    options = ReadOptions(summary.problems.append, chunk_items, config.predict)
    for chunk in run.domain.read(inputs, options):
        try:
            items = run.domain.items(config, chunk)
        except DataError as error:
            summary.problems.append(error)
            continue
        summary.problems += items.problems
        if len(items) == 0:
            continue
        prediction = predict_items(run.domain, config, run.model, items)
        prediction.attrs["run"] = run.folder.name
        # Not len(items): some may only have been context of the others.
        summary.items += prediction.sizes["item"]
        if run.domain.seconds is not None:
            summary.signal_s = (summary.signal_s or 0.0) + run.domain.seconds(prediction)
        yield prediction
