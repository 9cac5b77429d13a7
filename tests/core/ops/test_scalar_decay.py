"""The portable scalar-decay recurrence against its float64 oracle, at the limits of the core's tolerance table."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from armillary.core.ops import scalar_decay, scalar_decay_cost
from armillary.core.ops.scalar_decay.reference import scalar_decay_reference
from armillary.core.testing import assert_agree, relative_rms

VALUE = GRADIENT = 5e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 5e-3, 1e-2  # bfloat16, on the same rounded inputs

# batch, length, heads, head width, states, groups
SHAPES = [(2, 37, 4, 3, 5, 1), (2, 64, 4, 3, 5, 4), (1, 300, 6, 2, 3, 2), (3, 1, 4, 3, 5, 2), (2, 5, 1, 1, 1, 1)]
EMPTY = [(0, 5, 2, 2, 2, 1), (2, 0, 4, 2, 2, 1), (0, 0, 4, 2, 2, 2)]
Shape = tuple[int, int, int, int, int, int]


def random_inputs(
    batch: int, length: int, heads: int, width: int, states: int, groups: int, seed: int = 0
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "x": normal(batch, length, heads, width),
        "log_decay": -torch.nn.functional.softplus(normal(batch, length, heads) - 1),
        "B": normal(batch, length, groups, states),
        "C": normal(batch, length, groups, states),
        "initial_state": normal(batch, heads, width, states),
    }


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("chunk", [1, 32, 256])
def test_values_and_gradients_equal_the_reference(shape: Shape, chunk: int) -> None:
    inputs = random_inputs(*shape)
    assert_agree(_chunked(chunk), scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("chunk", [1, 7, 32])
def test_packed_segments_equal_the_reference(shape: Shape, chunk: int) -> None:
    generator = torch.Generator().manual_seed(3)
    jumps = torch.rand(shape[:2], generator=generator) < 0.15
    # Numbers that come back, so that equal numbers far apart are not one sequence.
    inputs = random_inputs(*shape) | {"segments": jumps.long().cumsum(1) % 3}
    assert_agree(_chunked(chunk), scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_packed_sequences_equal_each_alone() -> None:
    inputs = random_inputs(2, 50, 4, 3, 5, 2) | {"initial_state": None}
    borders = [0, 13, 14, 40, 50]
    numbers = torch.zeros(2, 50, dtype=torch.long)
    for border in borders[1:-1]:
        numbers[:, border:] += 1
    packed, state = scalar_decay(**inputs, segments=numbers)
    for first, last in pairwise(borders):
        part = {name: None if tensor is None else tensor[:, first:last] for name, tensor in inputs.items()}
        alone, after = scalar_decay(**part)
        assert relative_rms(packed[:, first:last], alone) < VALUE
    assert relative_rms(state, after) < VALUE


def test_the_initial_state_may_be_absent() -> None:
    inputs = random_inputs(2, 19, 4, 3, 5, 2) | {"initial_state": None}
    assert_agree(scalar_decay, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_double_precision_is_kept() -> None:
    inputs = {name: tensor.double() for name, tensor in random_inputs(2, 70, 4, 3, 5, 2).items()}
    assert_agree(scalar_decay, scalar_decay_reference, inputs, value=1e-13, gradient=1e-13)


def test_half_precision_inputs_accumulate_in_single_precision() -> None:
    inputs = {name: tensor.bfloat16() for name, tensor in random_inputs(2, 200, 4, 8, 8, 2).items()}
    y, state = scalar_decay(**inputs)
    assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    assert_agree(scalar_decay, scalar_decay_reference, inputs, value=HALF_VALUE, gradient=HALF_GRADIENT)


def test_autocast_does_not_narrow_the_recurrence() -> None:
    inputs = random_inputs(2, 70, 4, 8, 8, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = scalar_decay(**inputs)
    assert torch.equal(y, scalar_decay(**inputs)[0])


def test_inputs_may_lie_in_memory_in_any_order() -> None:
    inputs = {
        name: tensor.movedim(0, -1).contiguous().movedim(-1, 0)
        for name, tensor in random_inputs(2, 37, 4, 3, 5, 2).items()
    }
    assert_agree(scalar_decay, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_a_decay_that_overflows_above_the_diagonal_leaves_gradients_finite() -> None:
    inputs = random_inputs(1, 64, 2, 3, 4, 1)
    inputs["log_decay"] = inputs["log_decay"] * 100
    assert_agree(scalar_decay, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_no_input_and_no_decay_leave_the_state_as_it_is() -> None:
    inputs = random_inputs(2, 40, 4, 3, 5, 2)
    _, state = scalar_decay(**inputs | {name: torch.zeros_like(inputs[name]) for name in ("x", "log_decay")})
    assert torch.equal(state, inputs["initial_state"])


def test_counted_cost_grows_with_length_and_chunk() -> None:
    sizes = (3, 5, 7, 1)
    assert scalar_decay_cost(2, 64, *sizes, chunk=32) == 2 * 64 * (3 * (32 * 5 + 2 * 7 * 5) + 32 * 7)
    assert scalar_decay_cost(2, 128, *sizes, chunk=32) == 2 * scalar_decay_cost(2, 64, *sizes, chunk=32)


def _chunked(chunk: int):
    def op(**inputs: Tensor) -> tuple[Tensor, Tensor]:
        return scalar_decay(**inputs, chunk=chunk)

    return op
