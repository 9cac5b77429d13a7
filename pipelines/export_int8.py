"""ONNX files with weights, and where it pays activations, of eight bits; what that costs is measured."""

import io
import logging
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from armillary.core.errors import RunError
from armillary.pipelines.export_program import Named, reason

WAYS = ("static", "static percentile", "dynamic")
LARGEST_LOSS = 1.0  # points of accuracy; more is told as a warning
# Norms, softmax, sums and tables stay in float32.
_STATIC_OPERATORS = ["Conv", "MatMul", "Gemm"]
_DYNAMIC_OPERATORS = ["MatMul", "LSTM"]
_PERCENTILE = 99.99
_AS_QUICK = 1.1  # times closer than this are alike
_WORTH = 1.1  # bytes or time saved by less are not worth a file


@dataclass(frozen=True)
class Candidate:
    """One way of quantising, measured. lost: points of accuracy, or percent of the primary metric where there is none.

    values: metrics of the validation split; milliseconds: median of one item on one thread.
    """

    way: str
    path: Path
    values: dict[str, float]
    lost: float
    milliseconds: float


def quantise(source: Path, target: Path, way: str, batches: Sequence[Named]) -> None:
    """Writes `source` with eight-bit weights; `batches` of real items tell the ranges of activations.

    static: weights a channel and activations, ranges from the smallest and largest value. static percentile: ranges
    that leave out what is rare. dynamic: ranges from each input while it runs, for matrix products and LSTMs.

    Raises:
        RunError: onnxruntime cannot quantise the model this way.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared.onnx")
    try:
        with _quiet():
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            if way == "dynamic":
                quantize_dynamic(prepared, target, _DYNAMIC_OPERATORS, per_channel=True, weight_type=QuantType.QInt8)
            else:
                percentile = way == "static percentile"
                quantize_static(
                    prepared,
                    target,
                    _Reader(batches),  # pyright: ignore[reportArgumentType] (duck typed)
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    op_types_to_quantize=_STATIC_OPERATORS,
                    activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.Percentile if percentile else CalibrationMethod.MinMax,
                    extra_options={"CalibPercentile": _PERCENTILE} if percentile else {},
                )
        _check_quantised(target)
    except Exception as error:
        raise RunError(
            f"onnxruntime cannot quantise this model ({way}): {reason(error)}\n  Leave out --int8."
        ) from error
    finally:
        prepared.unlink(missing_ok=True)


def choose(candidates: Sequence[Candidate], float_bytes: int, float_milliseconds: float) -> Candidate:
    """The smallest of those that lose at most a point and are about the quickest; else the one that loses least.

    Ways that save neither a tenth of the bytes nor of the time are passed over where another does. Where none is
    quicker than the float file, eight bits pay by their size alone.
    """
    worth = [
        candidate
        for candidate in candidates
        if candidate.path.stat().st_size * _WORTH < float_bytes or candidate.milliseconds * _WORTH < float_milliseconds
    ]
    candidates = worth or candidates
    good = [candidate for candidate in candidates if candidate.lost <= LARGEST_LOSS]
    if not good:
        return min(candidates, key=lambda candidate: candidate.lost)
    quickest = min(candidate.milliseconds for candidate in good)
    limit = _AS_QUICK * quickest if quickest < float_milliseconds else float("inf")
    quick = [candidate for candidate in good if candidate.milliseconds <= limit]
    return min(quick, key=lambda candidate: candidate.path.stat().st_size)


def _check_quantised(path: Path) -> None:
    import onnx

    if not any("Quantize" in node.op_type for node in onnx.load(path).graph.node):
        path.unlink()
        raise ValueError("none of its operators with weights can be")


class _Reader:
    """Calibration batches, as onnxruntime asks for them."""

    def __init__(self, batches: Sequence[Named]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        """The next batch as arrays; None after the last."""
        batch = next(self._left, None)
        return None if batch is None else {name: tensor.numpy() for name, tensor in batch.items()}


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Without the advice that quantisation writes to the root logger and to the terminal."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(before)
