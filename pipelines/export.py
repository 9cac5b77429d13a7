"""`export`: a finished run as files for other programs, compared with the model, with card and licences inside."""

import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from armillary.core.domain import Batch, Exportable, Interface, Items
from armillary.core.errors import CardError, RunError
from armillary.core.files import atomic_write
from armillary.pipelines.export_onnx import check_packages, onnx_runner, write_onnx
from armillary.pipelines.export_program import TOLERANCE, Program, Served, beyond, differences, trace
from armillary.pipelines.export_torch import Runner, torch_runner, write_torch
from armillary.pipelines.model_card import CARD, INT8, MODELS, about_run, write_cards
from armillary.pipelines.sampling import item_lengths

if TYPE_CHECKING:
    from armillary.pipelines.run import Run

Format = Literal["onnx", "torch"]
FORMATS: tuple[Format, ...] = get_args(Format)
_COMPARED = 256  # validation items on which a file is compared with the model
_BATCH = 32


class ExportWarning(UserWarning):
    """An export that works, but answers worse than its model."""


@dataclass(frozen=True)
class Samples:
    """Real items of the run; none where its data are not here.

    lengths: the longest training or validation item along each ragged axis.
    """

    batches: Sequence[Batch]
    number: int
    where: str
    lengths: Mapping[str, int]


def export(
    run: "Run", formats: Sequence[Format], *, int8: bool = False, out: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Writes OUT/onnx and OUT/torch (default: `export` in the run folder); returns the model card of each.

    A file is compared with the model on validation items, or on the domain's example batch where the data are not
    here, and is left out if they differ. int8 adds a file of eight-bit numbers to the ONNX one.

    Raises:
        RunError: the run is not finished, its model cannot be exported, or a file gives other answers.
        MissingExtraError: the packages for ONNX are not installed.
    """
    _check(run, formats, int8, out := out or run.folder.path / "export")
    with _one_thread():
        served = _served(run)
        samples = _samples(run, served.interface, need=int8)
        program = trace(served, samples.batches[0], samples.lengths)
        return {name: _write(run, served, program, samples, name, int8, out / name) for name in formats}


def _check(run: "Run", formats: Sequence[Format], int8: bool, out: Path) -> None:
    if not formats:
        raise ValueError(f"expected at least one of the formats {', '.join(FORMATS)}")
    if int8 and "onnx" not in formats:
        raise ValueError("int8 is a form of the ONNX file; ask for the format onnx, too")
    if "onnx" in formats:
        check_packages()
    for name in formats:
        folder = out / name
        if folder.exists() and not (folder / CARD).exists():
            raise RunError(f"{folder}: holds something that is no export. Give another --out.")


def _served(run: "Run") -> Served:
    model = run.model.cpu().eval()
    if not isinstance(model, Exportable):
        raise RunError(
            f"{run.config.recipe}: its model has no `interface()`, which names what an export takes and gives.\n"
            "  Write one as docs/export.md shows, or export a run of another recipe."
        )
    return Served(model, model.interface(), run.config.predict)


def _samples(run: "Run", interface: Interface, need: bool) -> Samples:
    """Validation items, evenly spaced; the example batch where the run's data are not here and need not be."""
    try:
        items, train = run.items("validation"), run.items("train")
    except CardError:
        if need:
            raise
        batch = run.domain.example_batch(run.config, _BATCH)
        if any(value.is_meta for value in batch.values() if isinstance(value, torch.Tensor)):
            raise
        lengths = {
            axis: batch[name].shape[place]
            for name, port in interface.inputs.items()
            for place, axis in enumerate(port.axes)
            if axis in interface.ragged
        }
        return Samples([batch], _BATCH, "the domain's example batch (the run's data were not found)", lengths)
    longest = [int(lengths.max()) for part in (items, train) if (lengths := item_lengths(part)) is not None]
    chosen = spread(items, _COMPARED)
    return Samples(
        chosen, min(len(items), _COMPARED), "validation items", dict.fromkeys(interface.ragged, max(longest, default=1))
    )


def spread(items: Items, number: int) -> list[Batch]:
    """Batches of so many plain items, evenly spaced over the split."""
    places = np.unique(np.linspace(0, len(items) - 1, min(number, len(items))).astype(int))
    parts = [places[start : start + _BATCH] for start in range(0, len(places), _BATCH)]
    return [items.collate([items[(0, int(place))] for place in part]) for part in parts]


def _write(
    run: "Run", served: Served, program: Program, samples: Samples, name: Format, int8: bool, folder: Path
) -> dict[str, Any]:
    about = about_run(run, program, name)
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        path = temporary / MODELS[name]
        if name == "onnx":
            write_onnx(program, path, about)
        else:
            write_torch(program, path, about)
        runner = onnx_runner(path) if name == "onnx" else torch_runner(path)
        card = {**about, "parity": _parity(served, program, runner, samples, MODELS[name])}
        if name == "onnx" and int8:
            card["int8"] = _int8(run, served, program, samples, path)
        write_cards(temporary, card, name)
    return card


def _parity(served: Served, program: Program, runner: Runner, samples: Samples, name: str) -> dict[str, Any]:
    """Largest differences between file and model, batch by batch and of one item alone.

    Raises:
        RunError: one is above the tolerance.
    """
    first = program.feed(samples.batches[0])
    feeds = [{key: tensor[:1] for key, tensor in first.items()}, *map(program.feed, samples.batches)]
    with torch.no_grad():
        found = [differences(runner(feed), served(feed)) for feed in feeds]
    largest = {output: max(each[output] for each in found) for output in served.interface.outputs}
    if bad := beyond(largest, served.interface):
        told = ", ".join(f"{output} by {value:.2g}" for output, value in bad.items())
        raise RunError(
            f"{name} differs from the model: {told}; expected at most {TOLERANCE:g}. It was not written.\n"
            "  Please report this with the recipe and the versions of torch and onnxruntime; another mixer may do."
        )
    return {
        "items": samples.number,
        "data": samples.where,
        "tolerance": TOLERANCE,
        "largest difference": largest,
        "judged": [output for output, port in served.interface.outputs.items() if not port.counts],
    }


def _int8(run: "Run", served: Served, program: Program, samples: Samples, path: Path) -> dict[str, Any]:
    from armillary.pipelines.export_measure import measured_int8

    found = measured_int8(run, served, program, samples.lengths, path, path.with_name(INT8))
    if "warning" in found:
        warnings.warn(f"{run.config.recipe}: {found['warning']}", ExportWarning, stacklevel=4)
    return found


@contextmanager
def _one_thread() -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
