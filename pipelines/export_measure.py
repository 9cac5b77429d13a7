"""What eight bits cost: the metrics of the validation split, and the time of one item, of every form of a model."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from armillary.core.domain import Metric
from armillary.core.errors import RunError
from armillary.pipelines.export_int8 import LARGEST_LOSS, WAYS, Candidate, choose, quantise
from armillary.pipelines.export_onnx import onnx_runner
from armillary.pipelines.export_program import Named, Program, Served, padded
from armillary.pipelines.export_torch import Runner
from armillary.pipelines.inference import batches

if TYPE_CHECKING:
    from armillary.pipelines.run import Run

_CALIBRATION = 512  # training items that tell the ranges of activations
_WARM_UP, _REPEATS = 10, 50


def measured_int8(
    run: "Run", served: Served, program: Program, lengths: Mapping[str, int], source: Path, target: Path
) -> dict[str, Any]:
    """Writes the best eight-bit form of `source` to `target`; returns what each form costs.

    lengths: of the longest item along each ragged axis.

    Raises:
        RunError: onnxruntime can quantise the model in no way.
    """
    from armillary.pipelines.export import spread

    calibration = _calibration(run, program, lengths)
    one = {name: tensor[:1] for name, tensor in program.feed(spread(run.items("validation"), 1)[0]).items()}
    judge = _Judge(run, served, program)
    plain = onnx_runner(source)
    forms = {
        "torch": _form(judge(served), milliseconds(served, one)),
        "onnx": _form(judge(plain), milliseconds(plain, one)),
    }
    candidates: list[Candidate] = []
    failed: dict[str, str] = {}
    for way in WAYS:
        path = source.with_name(f"{way.replace(' ', '-')}.onnx")
        try:
            quantise(source, path, way, calibration)
        except RunError as error:
            failed[way] = str(error).splitlines()[0]
            continue
        runner = onnx_runner(path)
        values = judge(runner)
        lost = judge.lost(forms["onnx"]["metrics"], values)
        candidates.append(Candidate(way, path, values, lost, milliseconds(runner, one)))
        forms[f"int8 {way}"] = {
            **_form(values, candidates[-1].milliseconds),
            "lost": lost,
            "bytes": path.stat().st_size,
        }
    if not candidates:
        raise RunError(next(iter(failed.values())) + "\n  Leave out --int8.")
    forms["onnx"]["bytes"] = source.stat().st_size
    chosen = choose(candidates, source.stat().st_size, forms["onnx"]["milliseconds"])
    return _settled(run, chosen, candidates, forms, failed, target, judge)


def _calibration(run: "Run", program: Program, lengths: Mapping[str, int]) -> list[Named]:
    """Batches of training items, all of the same shape, as histograms of the activations need them."""
    from armillary.pipelines.export import spread

    feeds = [padded(batch, program.interface, lengths) for batch in spread(run.items("train"), _CALIBRATION)]
    sizes = [len(next(iter(feed.values()))) for feed in feeds]
    return [feed for feed, size in zip(feeds, sizes, strict=True) if size == sizes[0]]


def _settled(
    run: "Run",
    chosen: Candidate,
    candidates: list[Candidate],
    forms: dict[str, Any],
    failed: dict[str, str],
    target: Path,
    judge: "_Judge",
) -> dict[str, Any]:
    """Keeps the chosen file, removes the others, and tells what was found."""
    for candidate in candidates:
        if candidate is not chosen:
            candidate.path.unlink()
    chosen.path.rename(target)
    facts: dict[str, Any] = {
        "way": chosen.way,
        "lost": chosen.lost,
        "lost unit": judge.unit,
        "items": judge.number,
        "split": "validation",
        "calibration items": min(len(run.items("train")), _CALIBRATION),
        "primary": judge.primary.name,
        "forms": forms,
        "failed": failed,
        "latency": f"median of {_REPEATS} calls with one item after {_WARM_UP}, one thread [ms]",
    }
    if chosen.lost > LARGEST_LOSS:
        facts["warning"] = (
            f"the int8 file loses {chosen.lost:.2f} {judge.unit} on the validation split, more than {LARGEST_LOSS:g}. "
            "Use the float file, or measure whether your use can bear it."
        )
    return facts


def milliseconds(runner: Callable[[Named], Any], feed: Named) -> float:
    """Median time of a call [ms]."""
    times: list[float] = []
    with torch.no_grad():
        for repeat in range(_WARM_UP + _REPEATS):
            start = time.perf_counter()
            runner(feed)
            if repeat >= _WARM_UP:
                times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


class _Judge:
    """Metrics of the validation split for any form of the model.

    What an export does not give (an option of prediction) is the model's own in the records; metrics that need only
    that do not tell anything about the export, and the primary one is what is compared.
    """

    def __init__(self, run: "Run", served: Served, program: Program) -> None:
        self.run, self.program = run, program
        self.items = run.items("validation")
        self.number = len(self.items)
        self.primary: Metric = run.domain.metrics(run.config)[run.domain.metrics(run.config).primary]
        self.batches: list[tuple[Named, dict[str, np.ndarray]]] = []
        with torch.no_grad():
            for batch in batches(self.items, run.config.evaluate.batch_size):
                answer = next(iter(served.model.predict(batch, served.options)))  # pyright: ignore[reportCallIssue]
                arrays = {name: value.float().numpy() for name, value in answer.items()}
                self.batches.append((program.feed(batch), {**arrays, "index": batch["index"].numpy()}))
        self.unit = (
            "points of accuracy"
            if self._accuracy(self._records([old for _, old in self.batches])) is not None
            else "% of the primary metric"
        )

    def __call__(self, runner: Runner) -> dict[str, float]:
        """The primary metric, and accuracy where the records hold classes."""
        with torch.no_grad():
            outputs = [
                {**old, **{name: value.float().numpy() for name, value in runner(feed).items()}}
                for feed, old in self.batches
            ]
        records = self._records(outputs)
        values = {self.primary.name: float(self.primary.value(records, np.ones(records.sizes["item"])))}
        accuracy = self._accuracy(records)
        return values if accuracy is None else {**values, "accuracy": accuracy}

    def lost(self, before: Mapping[str, float], after: Mapping[str, float]) -> float:
        """Points of accuracy, or percent of the primary metric; negative for a gain, infinite for NaN."""
        if self.unit == "points of accuracy":
            lost = 100 * (before["accuracy"] - after["accuracy"])
        else:
            sign = 1 if self.primary.direction == "max" else -1
            old, new = before[self.primary.name], after[self.primary.name]
            lost = 100 * sign * (old - new) / max(abs(old), 1e-12)
        return lost if lost == lost else float("inf")

    def _records(self, outputs: list[dict[str, np.ndarray]]) -> xr.Dataset:
        return self.run.domain.assemble(self.run.config, self.items, outputs)

    @staticmethod
    def _accuracy(records: xr.Dataset) -> float | None:
        if "probability" not in records or "truth" not in records:
            return None
        truth, guess = records["truth"].values, records["probability"].values.argmax(-1)
        known = truth >= 0
        return float((guess == truth)[known].mean()) if known.any() else None


def _form(values: dict[str, float], time_ms: float) -> dict[str, Any]:
    return {"metrics": values, "milliseconds": time_ms}
