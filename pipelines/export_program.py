"""A model as a program of torch's own operators, from which the files of every format are made."""

import os
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional

from armillary.core.domain import Batch, Interface, Port
from armillary.core.errors import RunError
from armillary.core.ops.dispatch import OVERRIDE
from armillary.core.ops.table import OPS

Named = dict[str, Tensor]

# Two programs that compute the same in float32 differ by the order of sums, about 1e-6 of a score. This much is well
# above that and well below what would change a decision or a printed figure.
TOLERANCE = 1e-4
# Their portable tier is an operator of ours, which a program for others cannot call; their reference is a few lines.
_AS_REFERENCE = ("rational", "polynorm", "polyrelu")
_OURS = "armillary"
_BATCHES = (2, 3, 5, 7, 11, 13)


class Served(nn.Module):
    """`predict` as a function of named tensors, with the outputs of the interface alone."""

    def __init__(self, model: nn.Module, interface: Interface, options: Any) -> None:
        super().__init__()
        self.model, self.interface, self.options = model, interface, options

    def forward(self, batch: Named) -> Named:
        answer = next(iter(self.model.predict(batch, self.options)))  # pyright: ignore[reportCallIssue, reportArgumentType]
        return {name: answer[name] for name in self.interface.outputs}


@dataclass(frozen=True)
class Program:
    """What was traced, and the lengths of ragged axes that it is bound to; axes that are not named are free."""

    exported: ExportedProgram
    interface: Interface
    lengths: Mapping[str, int]

    def feed(self, batch: Batch) -> Named:
        """The inputs in a batch, padded to the lengths.

        Raises:
            RunError: an item is longer than the program can take.
        """
        return padded(batch, self.interface, self.lengths)


def trace(served: Served, batch: Batch, longest: Mapping[str, int]) -> Program:
    """A program for any number of items, and any length of its ragged axes where the model allows that.

    batch: several real items, on which the program is compared with the model. longest: lengths for a model that
    must know them, as a recurrence does whose steps are written out.

    Raises:
        RunError: the model cannot be traced, or only for one number of items.
    """
    interface = served.interface
    given = padded(batch, interface, {})
    if interface.ragged:
        try:
            free = Program(_traced(served, given, interface.ragged), interface, {})
            if _agrees(served, free, _probes(given, interface.inputs, interface.ragged)):
                return free
        # Whatever stops it, the lengths may be what does: they are given below, and then any error is told.
        except Exception:
            pass
    given = padded(batch, interface, longest)
    try:
        program = Program(_traced(served, given, ()), interface, dict(longest))
    except Exception as error:
        raise RunError(
            f"the model cannot be written as one program: {reason(error)}\n"
            "  Its network decides in Python by the values of tensors, or calls code that torch cannot trace. Export a "
            "run with another system or mixer."
        ) from error
    if not _agrees(served, program, _probes(given, interface.inputs, ())):
        raise RunError(
            "the traced program gives other answers than the model, or serves one number of items only.\n"
            "  Export a run with another system or mixer."
        )
    return program


def padded(batch: Batch, interface: Interface, lengths: Mapping[str, int]) -> Named:
    """The inputs in a batch, with the axes that are named in `lengths` padded to them."""
    found: Named = {}
    for name, port in interface.inputs.items():
        tensor: Tensor = batch[name]
        for place, axis in enumerate(port.axes):
            missing = lengths.get(axis, tensor.shape[place]) - tensor.shape[place]
            if missing < 0:
                raise RunError(
                    f"an item has {tensor.shape[place]} along '{axis}'; this export is bound to {lengths[axis]}, the "
                    "longest of the training and validation data.\n  Cut the item, or export a run whose mixers are "
                    "free of the length (attention)."
                )
            value = bool(port.padding) if tensor.dtype == torch.bool else port.padding
            after = (0, 0) * (tensor.ndim - place - 1) + (0, missing)
            tensor = functional.pad(tensor, after, value=value) if missing else tensor
        found[name] = tensor
    return found


def differences(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, float]:
    """Largest |a - b| / max(|b|, 1) of each output; infinite where one is not finite and the other is."""

    def largest(a: Tensor, b: Tensor) -> float:
        if a.shape != b.shape:
            return float("inf")
        if a.numel() == 0:
            return 0.0
        same = (a == b) | (a.isnan() & b.isnan())
        apart = ((a - b).abs() / b.abs().clamp(min=1)).masked_fill(same, 0.0)
        return float(apart.nan_to_num(nan=float("inf")).max())

    return {name: largest(one[name].double(), other[name].double()) for name in other}


def beyond(found: Mapping[str, float], interface: Interface) -> dict[str, float]:
    """Those differences that are above the tolerance; an output that counts need only be finite."""
    good = {
        name: isfinite(value) if interface.outputs[name].counts else value <= TOLERANCE for name, value in found.items()
    }
    return {name: value for name, value in found.items() if not good[name]}


def reason(error: BaseException) -> str:
    """The line of an error of torch's that says most."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


@contextmanager
def plain_operators() -> Generator[None, None, None]:
    """Ops of the core run in forms made of torch's own operators."""
    before = os.environ.get(OVERRIDE)
    os.environ[OVERRIDE] = ",".join(f"{name}={'reference' if name in _AS_REFERENCE else 'portable'}" for name in OPS)
    try:
        yield
    finally:
        if before is None:
            del os.environ[OVERRIDE]
        else:
            os.environ[OVERRIDE] = before


@contextmanager
def quiet_torch() -> Generator[None, None, None]:
    """Without the warnings of torch's exporters about their own code and about recurrent layers' flat weights."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        warnings.filterwarnings("ignore", message=r"(?s)The tensor attributes? .* assigned during export")
        warnings.filterwarnings("ignore", message=r"(?s).*torch\.onnx", category=DeprecationWarning)
        yield


def _traced(served: Served, given: Named, free: tuple[str, ...]) -> ExportedProgram:
    from armillary.pipelines.export_forms import plain_forms

    inputs = served.interface.inputs
    shapes = {
        name: {place: Dim.AUTO for place, axis in enumerate(port.axes) if place == 0 or axis in free}
        for name, port in inputs.items()
    }
    with torch.no_grad(), plain_operators(), quiet_torch():
        exported = torch.export.export(served, (_blank(given, inputs),), dynamic_shapes=(shapes,))
        if _custom(exported):
            exported = exported.run_decompositions(plain_forms())
    if unknown := _custom(exported):
        raise RunError(f"it calls operators that only armillary has: {', '.join(unknown)}")
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return exported


def _custom(exported: ExportedProgram) -> list[str]:
    targets = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    return sorted(target for target in targets if target.startswith(_OURS))


def _blank(given: Named, inputs: Mapping[str, Port]) -> Named:
    """Inputs of the same shapes without data: the file keeps them. Their number of items is no other size."""
    sizes = {size for tensor in given.values() for size in tensor.shape[1:]}
    number = next(number for number in _BATCHES if number not in sizes)
    return {
        name: torch.full((number, *tensor.shape[1:]), _fill(tensor, inputs[name]), dtype=tensor.dtype)
        for name, tensor in given.items()
    }


def _fill(tensor: Tensor, port: Port) -> bool | float | int:
    if tensor.dtype == torch.bool:
        return True
    return port.padding if tensor.dtype.is_floating_point else int(port.padding)


def _probes(given: Named, inputs: Mapping[str, Port], ragged: tuple[str, ...]) -> list[Named]:
    """One, two and all items; with ragged axes also cut to other lengths."""
    batches = [{name: tensor[:number] for name, tensor in given.items()} for number in (1, 2, None)]
    longest = max(
        (given[n].shape[i] for n, port in inputs.items() for i, a in enumerate(port.axes) if a in ragged), default=0
    )
    for length in sorted({longest // 2, longest - 1, 1} - {0}) if ragged else ():
        batches.append({name: _cut(tensor, inputs[name], ragged, length) for name, tensor in batches[1].items()})
    return batches


def _cut(tensor: Tensor, port: Port, ragged: tuple[str, ...], length: int) -> Tensor:
    for place, axis in enumerate(port.axes):
        tensor = tensor.narrow(place, 0, min(length, tensor.shape[place])) if axis in ragged else tensor
    return tensor


def _agrees(served: Served, program: Program, probes: list[Named]) -> bool:
    module = cast(nn.Module, program.exported.module())
    with torch.no_grad():
        try:
            found = [differences(module(probe), served(probe)) for probe in probes]
        # A guard of the program that a probe breaks: it was traced for fewer shapes than it promises.
        except (RuntimeError, AssertionError, ValueError):
            return False
    return not any(beyond(values, served.interface) for values in found)
