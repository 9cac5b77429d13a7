"""The portable selective scan against its float64 oracle, at the limits of the core's tolerance table."""

import pytest
import torch
from torch import Tensor

from armillary.core.ops import selective_scan, selective_scan_cost
from armillary.core.ops.selective_scan.reference import selective_scan_reference
from armillary.core.testing import assert_agree

VALUE, GRADIENT = 1e-6, 3e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 4e-3, 1e-2  # bfloat16, on the same rounded inputs

# batch, length, width, states, groups
SHAPES = [(2, 37, 8, 4, 1), (2, 64, 6, 16, 3), (1, 257, 4, 3, 2), (3, 1, 8, 4, 2), (2, 5, 4, 1, 4), (2, 16, 1, 2, 1)]
EMPTY = [(0, 5, 4, 2, 1), (2, 0, 4, 2, 2), (0, 0, 4, 2, 1)]


def random_inputs(batch: int, length: int, width: int, states: int, groups: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

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


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("chunk", [1, 16, 64])
def test_values_and_gradients_equal_the_reference(shape: tuple[int, int, int, int, int], chunk: int) -> None:
    inputs = random_inputs(*shape)
    assert_agree(_chunked(chunk), selective_scan_reference, inputs, value=VALUE, gradient=GRADIENT)


@pytest.mark.parametrize("absent", ["D", "z", "initial_state"])
def test_optional_inputs_may_be_absent(absent: str) -> None:
    inputs = random_inputs(2, 19, 6, 4, 2) | {absent: None}
    assert_agree(selective_scan, selective_scan_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_double_precision_is_kept() -> None:
    inputs = {name: tensor.double() for name, tensor in random_inputs(2, 37, 6, 4, 2).items()}
    assert_agree(selective_scan, selective_scan_reference, inputs, value=1e-14, gradient=1e-14)


def test_half_precision_inputs_accumulate_in_single_precision() -> None:
    inputs = random_inputs(2, 200, 6, 4, 2)
    inputs = {name: tensor if name in ("A", "D") else tensor.bfloat16() for name, tensor in inputs.items()}
    y, state = selective_scan(**inputs)
    assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    assert_agree(selective_scan, selective_scan_reference, inputs, value=HALF_VALUE, gradient=HALF_GRADIENT)


def test_autocast_does_not_narrow_the_scan() -> None:
    results = []
    for enabled in (False, True):
        inputs = {name: tensor.requires_grad_() for name, tensor in random_inputs(2, 37, 8, 4, 2).items()}
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            y, state = selective_scan(**inputs)
            (y.sum() + state.sum()).backward()
        results.append([y, state, *(tensor.grad for tensor in inputs.values())])
    assert all(torch.equal(plain, cast) for plain, cast in zip(*results, strict=True))


def test_inputs_may_lie_in_memory_in_any_order() -> None:
    inputs = {name: _strided(tensor) for name, tensor in random_inputs(2, 37, 8, 4, 2).items()}
    assert_agree(selective_scan, selective_scan_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_inputs_are_left_as_they_were() -> None:
    inputs = random_inputs(2, 37, 8, 4, 2)
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    selective_scan(**inputs)
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


def test_the_final_state_alone_carries_a_gradient() -> None:
    inputs = {name: tensor.double() for name, tensor in random_inputs(2, 21, 4, 3, 1).items()}
    slopes = []
    for op in (selective_scan, selective_scan_reference):
        leaf = inputs["x"].clone().requires_grad_()
        state = op(**inputs | {"x": leaf})[1]
        (state * torch.arange(1.0, 4)).sum().backward()
        slopes.append(leaf.grad)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-12, atol=1e-14)


def test_a_step_of_size_zero_leaves_the_state_as_it_is() -> None:
    inputs = random_inputs(2, 9, 4, 3, 1)
    _, state = selective_scan(**inputs | {"dt": torch.zeros_like(inputs["dt"])})
    assert torch.equal(state, inputs["initial_state"])


def test_a_fast_decay_over_a_long_sequence_neither_overflows_nor_loses_accuracy() -> None:
    inputs = random_inputs(1, 1000, 4, 4, 1)
    inputs["A"] = inputs["A"] * 1000
    assert_agree(selective_scan, selective_scan_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_backward_stores_a_state_per_chunk_and_not_per_token() -> None:
    stored = {length: _stored_numbers(length) for length in (128, 256)}
    inputs_alone = 2 * 256 * (2 * 8 + 2 * 16)
    assert stored[256] - stored[128] <= 1.1 * (inputs_alone / 2 + 2 * 128 / 16 * 8 * 16)
    assert stored[256] < 2 * 256 * 8 * 16


def test_counted_cost_is_four_products_a_state_and_one_a_channel() -> None:
    assert selective_scan_cost(2, 3, 5, 7) == 2 * 3 * 5 * (4 * 7 + 1)


def _chunked(chunk: int):
    def op(**inputs: Tensor) -> tuple[Tensor, Tensor]:
        return selective_scan(**inputs, chunk=chunk)

    return op


def _strided(tensor: Tensor) -> Tensor:
    return tensor.movedim(0, -1).contiguous().movedim(-1, 0)


def _stored_numbers(length: int) -> int:
    """Numbers that autograd keeps between forward and backward."""
    inputs = {name: tensor.requires_grad_() for name, tensor in random_inputs(2, length, 8, 16, 1).items()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        selective_scan(**{name: inputs[name] for name in ("x", "dt", "A", "B", "C")}, chunk=16)
    return sum(kept.values())
