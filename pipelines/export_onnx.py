"""Programs as ONNX files that load with onnxruntime alone."""

import importlib.util
import json
import logging
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from armillary.core.errors import MissingExtraError, RunError
from armillary.pipelines.export_forms import onnx_forms
from armillary.pipelines.export_program import Named, Program, plain_operators, quiet_torch, reason
from armillary.pipelines.export_torch import Runner

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_packages() -> None:
    """Raises MissingExtraError where a package of the extra is not installed."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "export", "armillary export --onnx")


def write_onnx(program: Program, path: Path, about: Mapping[str, Any]) -> None:
    """Writes the program as ONNX, with what is known about it in the file's metadata.

    Raises:
        RunError: ONNX has no form of an operator.
    """
    import onnx

    inputs, outputs = program.interface.inputs, program.interface.outputs
    try:
        with torch.no_grad(), plain_operators(), quiet_torch(), _quiet_exporter():
            lowered = program.exported.run_decompositions(onnx_forms())
            written = torch.onnx.export(
                lowered, (), dynamo=True, verbose=False, input_names=list(inputs), output_names=list(outputs)
            )
        assert written is not None
        model = written.model_proto
    except Exception as error:
        missing = _operator(error)
        raise RunError(
            f"the model cannot be written as ONNX: {missing or reason(error)}\n"
            "  Give --torch instead, or export a run whose mixers ONNX has (docs/export.md lists them)."
        ) from error
    _tidy(model, program)
    onnx.helper.set_model_props(model, {name: _text(value) for name, value in about.items()})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def onnx_runner(path: Path) -> Runner:
    """The file as a function of named tensors, on one thread."""
    session = onnx_session(path)
    names = [port.name for port in session.get_outputs()]

    def run(batch: Named) -> Named:
        found = session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, found, strict=True)}

    return run


def onnx_session(path: Path) -> Any:
    """An onnxruntime session on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _tidy(model: Any, program: Program) -> None:
    """Axes get their names; what only describes this machine's code goes."""
    del model.graph.value_info[:]
    for node in (*model.graph.node, *(inner for function in model.functions for inner in function.node)):
        del node.metadata_props[:]
        node.doc_string = ""
    ports = {**program.interface.inputs, **program.interface.outputs}
    for value in (*model.graph.input, *model.graph.output):
        port = ports[value.name]
        for axis, dim in zip(port.axes, value.type.tensor_type.shape.dim, strict=True):
            if axis in program.lengths:
                dim.dim_value = program.lengths[axis]
            elif axis == port.axes[0] or axis in program.interface.ragged:
                dim.dim_param = axis
        del value.metadata_props[:]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _operator(error: BaseException) -> str | None:
    """The operator that ONNX lacks, where the exporter names one."""
    text = ""
    current: BaseException | None = error
    while current is not None:
        text += str(current)
        current = current.__cause__
    found = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)', overload='(\w+)'\)>", text)
    return f"ONNX has no form of the operator {found[1]} ({found[2]})" if found else None


@contextmanager
def _quiet_exporter() -> Generator[None, None, None]:
    """Without the exporter's notes about torchvision, which is not used here."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
