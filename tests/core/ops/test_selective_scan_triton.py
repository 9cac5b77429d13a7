"""The Triton tier of the selective scan against its float64 oracle: in the interpreter, or on a GPU if there is one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from armillary.core.ops.selective_scan.op import OP
from armillary.core.ops.selective_scan.reference import selective_scan_reference
from armillary.core.testing import assert_agree

tier = pytest.importorskip("armillary.core.ops.selective_scan.triton", exc_type=ImportError)

VALUE, GRADIENT = 1e-6, 3e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 4e-3, 1e-2  # half precision, on the same rounded inputs

# batch, length, width, states, groups; small enough for the interpreter, and as large as a device needs
TINY = [(2, 3, 3, 2, 1), (1, 5, 4, 3, 2), (1, 1, 1, 1, 1), (0, 5, 4, 2, 1), (2, 0, 4, 2, 2)]
LARGE = [(2, 37, 8, 4, 1), (2, 300, 96, 16, 3), (1, 257, 4, 3, 2), (1, 200, 300, 16, 2), (1, 70, 40, 64, 1)]
KERNELS = [tier.SUMMARY, tier.OUTPUT, tier.COSTATE, tier.GRADIENT]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("shape", TINY, ids=str)
def test_values_and_gradients_equal_the_reference(shape: tuple[int, ...]) -> None:
    agree(random_inputs(*shape), chunk=2)


@pytest.mark.parametrize(
    ("absent", "reverse", "dtype"),
    [
        ("D", False, torch.int64),
        ("z", True, torch.int32),
        ("initial_state", True, torch.int64),
        ("path", True, torch.int64),
    ],
)
def test_any_order_of_the_tokens_and_absent_inputs(absent: str, reverse: bool, dtype: torch.dtype) -> None:
    inputs = random_inputs(1, 5, 3, 2, 1) | {"path": shuffled(5).to(dtype)}
    agree(inputs | {absent: None}, reverse=reverse, chunk=2)


def test_half_precision_and_rows_that_lie_apart_are_read_where_they_are() -> None:
    # Not bfloat16: Triton's interpreter cuts it off where a device rounds.
    inputs = half(random_inputs(2, 5, 3, 2, 1), torch.float16)
    inputs["x"], inputs["z"] = torch.cat([inputs["x"], inputs["z"]], dim=-1).chunk(2, dim=-1)
    inputs["dt"] = inputs["dt"].mT.contiguous().mT
    assert tier._dense(inputs["x"]) is inputs["x"]
    agree(inputs, HALF_VALUE, HALF_GRADIENT, chunk=2)


def test_memory_that_was_never_written_is_never_read(poisoned_memory: None) -> None:
    agree(random_inputs(1, 5, 3, 3, 1) | {"path": shuffled(5)}, chunk=2)


@pytest.mark.parametrize("index", range(4))
def test_every_configuration_gives_the_same(index: int) -> None:
    pinned([index] * len(KERNELS), random_inputs(1, 3, 2, 2, 1), chunk=2)


def test_a_program_may_compute_the_gradients_of_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier, "PROGRAMS", 2)
    agree(random_inputs(1, 7, 2, 2, 1), chunk=2)


def test_what_is_not_finite_reaches_every_later_token_of_its_channel_alone() -> None:
    inputs = {name: tensor.to(DEVICE) for name, tensor in random_inputs(1, 5, 3, 2, 1).items()}
    inputs["x"][0, 2, 1] = torch.nan
    y, state = OP.load("triton")(**inputs, chunk=2)
    assert torch.isnan(y).nonzero().tolist() == [[0, 2, 1], [0, 3, 1], [0, 4, 1]]
    assert torch.isnan(state[0]).all(-1).tolist() == [False, True, False]


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU here")
@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_every_configuration_equals_the_reference_on_a_device(shape: tuple[int, ...], index: int) -> None:
    inputs = random_inputs(*shape)
    configurations = [index] * len(KERNELS)
    pinned(configurations, inputs | {"path": shuffled(shape[1])}, reverse=True)
    pinned(configurations, half(inputs, torch.bfloat16), HALF_VALUE, HALF_GRADIENT)


def pinned(configurations: list[int], inputs: dict[str, Any], *limits: float, **order: Any) -> None:
    """As `agree`, with one configuration of each kernel; the last one of a kernel that has fewer."""
    if not configurations:
        return agree(inputs, *limits, **order)
    kernel = KERNELS[len(configurations) - 1]
    with kernel.pinned(min(configurations[-1], len(kernel.configs) - 1)):
        return pinned(configurations[:-1], inputs, *limits, **order)


def agree(inputs: dict[str, Any], value: float = VALUE, gradient: float = GRADIENT, **order: Any) -> None:
    """The tier, with its tensors on the GPU if there is one, gives what the reference gives."""

    def moved(**given: Any) -> tuple[Tensor, ...]:
        placed = {name: each.to(DEVICE) if isinstance(each, Tensor) else each for name, each in given.items()}
        return tuple(result.cpu() for result in OP.load("triton")(**placed, **order))

    exact: Callable[..., Any] = partial(selective_scan_reference, reverse=order.get("reverse", False))
    assert_agree(moved, exact, inputs, value=value, gradient=gradient)


def random_inputs(batch: int, length: int, width: int, states: int, groups: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "x": normal(batch, length, width),
        "dt": torch.nn.functional.softplus(normal(batch, length, width) - 2),
        "A": -normal(width, states).exp(),
        "B": normal(batch, length, groups, states),
        "C": normal(batch, length, groups, states),
        "D": normal(width),
        "z": normal(batch, length, width),
        "initial_state": normal(batch, width, states),
    }


def half(inputs: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    return {name: tensor if name in ("A", "D") else tensor.to(dtype) for name, tensor in inputs.items()}


def shuffled(length: int) -> Tensor:
    return torch.randperm(length, generator=torch.Generator().manual_seed(1))
