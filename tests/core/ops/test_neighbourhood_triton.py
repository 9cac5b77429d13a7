"""The Triton tier of neighbourhood attention against its float64 oracle, in the interpreter or on a GPU."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor

from armillary.core.ops.neighbourhood.reference import neighbourhood_attention_reference
from armillary.core.testing import assert_agree

tier = pytest.importorskip("armillary.core.ops.neighbourhood.triton", exc_type=ImportError)

VALUE, GRADIENT = 1e-6, 3e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 4e-3, 1e-2  # half precision, on the same rounded inputs
SCALE = 0.4
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Case = dict[str, tuple[Any, ...]]


def case(grid: tuple[int, ...], window: tuple[int, ...], **settings: tuple[Any, ...]) -> Case:
    rank = len(grid)
    plain = {"dilation": (1,) * rank, "causal": (False,) * rank, "periodic": (False,) * rank}
    return {"grid": grid, "window": window} | plain | settings


# Small enough for the interpreter: one or two tiles a kernel.
TINY = [
    case((9,), (4,), dilation=(2,)),
    case((7,), (3,), dilation=(2,), causal=(True,)),
    case((7,), (3,), dilation=(2,), periodic=(True,)),  # one ring of all tokens: 2 does not divide 7
    case((4, 5), (3, 2), causal=(False, True), periodic=(True, False)),
    case((2, 3, 4), (2, 2, 2), dilation=(1, 1, 2), periodic=(False, True, False)),
]
LARGE = [
    case((300,), (63,)),
    case((301,), (7,), dilation=(5,), periodic=(True,)),
    case((33, 40), (7, 7), dilation=(1, 4), causal=(False, True)),
    case((9, 12, 17), (3, 5, 4), dilation=(3, 1, 2), periodic=(False, True, False)),
]
KERNELS = (tier.FORWARD, tier.QUERY_GRADIENT, tier.KEY_GRADIENT)


@pytest.mark.parametrize("setting", TINY, ids=str)
def test_values_and_gradients_equal_the_reference(setting: Case) -> None:
    agree(setting, random_inputs(setting, batch=1, heads=2 if setting is TINY[0] else 1))


@pytest.mark.parametrize("setting", [TINY[0], TINY[2]], ids=str)
def test_masked_keys_and_shorter_rows_equal_the_reference(setting: Case, poisoned_memory: None) -> None:
    inputs = random_inputs(setting, batch=2, heads=1, bias=False)
    small = [max(1, extent - 4) for extent in setting["grid"]]
    agree(setting, inputs | {"mask": random_mask(setting, 2), "extents": torch.tensor([setting["grid"], small])})


def test_a_query_without_keys_gives_zero_and_no_gradient() -> None:
    inputs = {name: tensor.requires_grad_() for name, tensor in random_inputs(TINY[0], batch=1, heads=1).items()}
    out = run(TINY[0], **inputs, mask=torch.zeros(1, *TINY[0]["grid"], dtype=torch.bool))[0]
    out.sum().backward()
    assert not out.any()
    assert not any(tensor.grad.any() for tensor in inputs.values())


def test_half_precision_inputs_accumulate_in_single_precision() -> None:
    # Not bfloat16: Triton's interpreter cuts it off where a device rounds.
    inputs = {name: tensor.half() for name, tensor in random_inputs(TINY[0], batch=1, heads=1).items()}
    agree(TINY[0], inputs, HALF_VALUE, HALF_GRADIENT)


@pytest.mark.parametrize("rank", tier.RANKS)
@pytest.mark.parametrize("index", range(len(tier.FORWARD[1].configs)))
def test_every_configuration_gives_the_same(rank: int, index: int) -> None:
    setting = [TINY[0], TINY[3], TINY[4]][rank - 1]
    with pinned(rank, index):
        agree(setting, random_inputs(setting, batch=1, heads=1, bias=False))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("setting", LARGE, ids=str)
def test_every_configuration_on_a_device(setting: Case, dtype: torch.dtype) -> None:
    limits = (VALUE, GRADIENT) if dtype == torch.float32 else (HALF_VALUE, HALF_GRADIENT)
    rank = len(setting["grid"])
    inputs = random_inputs(setting, batch=2, width=32, value_width=24) | {"mask": random_mask(setting, 2)}
    inputs = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    inputs["extents"] = torch.tensor([setting["grid"], [extent - 5 for extent in setting["grid"]]])
    for index in range(len(tier.FORWARD[rank].configs)):
        with pinned(rank, index):
            agree(setting, inputs, *limits)


def pinned(rank: int, index: int) -> ExitStack:
    """Every kernel of a rank with one configuration."""
    stack = ExitStack()
    for kernels in KERNELS:
        stack.enter_context(kernels[rank].pinned(index))
    return stack


def run(setting: Case, op: Callable[..., Tensor] = tier.neighbourhood_attention_triton, **inputs: Any) -> tuple[Tensor]:
    """An implementation, as a tuple of its one output."""
    names, settings = ("q", "k", "v", "bias", "mask", "extents"), ("window", "dilation", "causal", "periodic")
    return (op(*(inputs.get(name) for name in names), *(setting[name] for name in settings), SCALE),)


def agree(setting: Case, inputs: dict[str, Tensor], value: float = VALUE, gradient: float = GRADIENT) -> None:
    def on_device(**tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(out.cpu() for out in run(setting, **{name: tensor.to(DEVICE) for name, tensor in tensors.items()}))

    def oracle(**tensors: Tensor) -> tuple[Tensor]:
        return run(setting, neighbourhood_attention_reference, **tensors)

    assert_agree(on_device, oracle, inputs, value=value, gradient=gradient)


def random_inputs(
    setting: Case, batch: int, heads: int = 2, width: int = 5, value_width: int = 3, bias: bool = True
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    rows = (batch, *setting["grid"], heads)
    inputs = {"q": normal(*rows, width), "k": normal(*rows, width), "v": normal(*rows, value_width)}
    return inputs | ({"bias": normal(heads, *(2 * K - 1 for K in setting["window"]))} if bias else {})


def random_mask(setting: Case, batch: int) -> Tensor:
    return torch.rand(batch, *setting["grid"], generator=torch.Generator().manual_seed(1)) > 0.3
