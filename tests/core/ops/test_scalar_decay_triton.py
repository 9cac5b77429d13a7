"""The Triton scalar-decay recurrence against its float64 oracle: in the interpreter, or on a device."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from armillary.core.ops.scalar_decay.reference import scalar_decay_reference
from armillary.core.testing import assert_agree

tier = pytest.importorskip("armillary.core.ops.scalar_decay.triton", exc_type=ImportError)

VALUE = GRADIENT = 5e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 5e-3, 1e-2  # bfloat16, on the same rounded inputs
KERNELS = ("STATES", "OUTPUTS", "STATES_BACK", "INPUTS_BACK", "WEIGHTS_BACK")

# batch, length, heads, head width, states, groups
Shape = tuple[int, int, int, int, int, int]
SHAPES = [(1, 21, 2, 3, 5, 1), (2, 17, 2, 18, 3, 2), (1, 1, 1, 1, 1, 1)]
EMPTY = [(0, 5, 2, 2, 2, 1), (2, 0, 4, 2, 2, 1)]


def random_inputs(shape: Shape, packed: bool = False, speed: float = 1.0) -> dict[str, Tensor | None]:
    batch, length, heads, width, states, groups = shape
    generator = torch.Generator().manual_seed(0)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=generator)

    jumps = torch.rand(batch, length, generator=generator) < 0.15
    return {
        "x": normal(batch, length, heads, width),
        "log_decay": -speed * torch.nn.functional.softplus(normal(batch, length, heads) - 1),
        "B": normal(batch, length, groups, states),
        "C": normal(batch, length, groups, states),
        "initial_state": normal(batch, heads, width, states),
        # Numbers that come back, so that equal numbers far apart are not one sequence.
        "segments": jumps.long().cumsum(1) % 3 if packed else None,
    }


def chunked(chunk: int, device: str = "cpu") -> Callable[..., tuple[Tensor, Tensor]]:
    def op(**inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        there = {name: None if tensor is None else tensor.to(device) for name, tensor in inputs.items()}
        y, state = tier.scalar_decay_triton(**there, chunk=chunk)
        return y.cpu(), state.cpu()

    return op


def agree(op: Callable[..., tuple[Tensor, Tensor]], inputs: Mapping[str, Tensor | None]) -> None:
    assert_agree(op, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.usefixtures("poisoned_memory")
def test_values_and_gradients_equal_the_reference(shape: Shape, packed: bool) -> None:
    agree(chunked(16), random_inputs(shape, packed))


def test_fast_and_slow_decays_lose_no_digits() -> None:
    for speed in (100.0, 0.01):
        agree(chunked(16), random_inputs((1, 18, 1, 2, 2, 1), speed=speed))


def test_a_chunk_longer_than_the_sequence_is_cut_down() -> None:
    agree(chunked(256), random_inputs((1, 35, 1, 2, 2, 1)))


@pytest.mark.parametrize("name", KERNELS)
def test_every_configuration_equals_the_reference(name: str) -> None:
    kernel, inputs = getattr(tier, name), random_inputs((1, 17, 1, 3, 2, 1), packed=True)
    for index in range(len(kernel.configs)):
        with kernel.pinned(index):
            agree(chunked(16), inputs)


@pytest.mark.gpu
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("chunk", [16, 32, 64])
def test_every_configuration_equals_the_reference_on_a_device(name: str, chunk: int) -> None:
    kernel = getattr(tier, name)
    for index in range(len(kernel.configs)):
        with kernel.pinned(index):
            for shape in ((2, 300, 4, 64, 64, 2), (1, 130, 3, 20, 130, 1)):
                agree(chunked(chunk, "cuda"), random_inputs(shape, packed=True))


def test_half_precision_inputs_accumulate_in_single_precision() -> None:
    inputs = {
        name: None if tensor is None else tensor.bfloat16()
        for name, tensor in random_inputs((1, 33, 2, 8, 8, 2)).items()
    }
    y, state = chunked(16)(**inputs)
    assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    assert_agree(chunked(16), scalar_decay_reference, inputs, value=HALF_VALUE, gradient=HALF_GRADIENT)


def test_inputs_may_lie_in_memory_in_any_order_and_the_state_may_be_absent() -> None:
    inputs = {
        name: None if tensor is None else tensor.movedim(0, -1).contiguous().movedim(-1, 0)
        for name, tensor in random_inputs((2, 17, 2, 3, 5, 1)).items()
    }
    agree(chunked(16), inputs | {"initial_state": None})


@pytest.mark.parametrize("kept", [0, 1], ids=["y", "state"])
def test_either_result_may_carry_the_gradient_alone(kept: int) -> None:
    inputs, slopes = random_inputs((1, 5, 1, 2, 2, 1)), []
    for op in (chunked(16), scalar_decay_reference):
        leaf = inputs["x"].clone().requires_grad_()
        op(**inputs | {"x": leaf})[kept].square().sum().backward()
        slopes.append(leaf.grad)
    torch.testing.assert_close(slopes[0], slopes[1])


def test_mapping_equals_a_batch() -> None:
    inputs = [tensor for tensor in random_inputs((4, 5, 1, 2, 2, 1)).values() if tensor is not None]
    mapped = torch.func.vmap(tier.scalar_decay_triton)(*(tensor.unflatten(0, (2, 2)) for tensor in inputs))
    torch.testing.assert_close(tuple(part.flatten(0, 1) for part in mapped), tier.scalar_decay_triton(*inputs))
