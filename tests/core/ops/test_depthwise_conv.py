"""The depth-wise convolution with taps on both sides: every tier against its float64 oracle, and bad input."""

from collections.abc import Callable, Iterator

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from armillary.core.ops.depthwise_conv import depthwise_conv, depthwise_conv_bytes, depthwise_conv_cost
from armillary.core.ops.depthwise_conv.native import depthwise_conv_native
from armillary.core.ops.depthwise_conv.portable import depthwise_conv_portable
from armillary.core.ops.depthwise_conv.reference import depthwise_conv_reference
from armillary.core.testing import assert_agree

VALUE, GRADIENT = 1e-6, 3e-6  # float32, relative RMS
# batch, length, channels, taps, ahead, dilation; several tiles and blocks of tokens, stripes of channels, and rests
SHAPES = [(2, 9, 5, 4, 1, 1), (1, 7, 3, 3, 1, 2), (2, 1, 3, 5, 2, 1), (1, 5, 2, 1, 0, 3)]
LARGE = [(1, 150, 21, 17, 8, 1), (2, 70, 70, 39, 19, 2), (1, 600, 67, 9, 8, 3), (1, 530, 3, 2, 0, 1)]
EMPTY = [(0, 5, 2, 3, 1, 1), (2, 0, 4, 3, 1, 2), (2, 4, 0, 3, 0, 1)]
Shape = tuple[int, int, int, int, int, int]


@pytest.fixture(autouse=True)
def _without_shape_checks() -> Iterator[None]:
    """They take most of the time of the reference's small steps."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def agree(tier: Callable[..., Tensor], shape: Shape, silu: bool) -> None:
    batch, length, channels, taps, ahead, dilation = shape
    generator = torch.Generator().manual_seed(0)
    inputs: dict[str, Tensor | None] = {
        "x": torch.randn(batch, length, channels, generator=generator),
        "weight": torch.randn(channels, taps, generator=generator),
    }

    def called(op: Callable[..., Tensor]) -> Callable[..., tuple[Tensor]]:
        return lambda **given: (op(*given.values(), ahead, dilation, silu),)

    assert_agree(called(tier), called(depthwise_conv_reference), inputs, value=VALUE, gradient=GRADIENT)


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("silu", [False, True], ids=["plain", "silu"])
def test_portable_values_and_gradients_equal_the_reference(shape: Shape, silu: bool) -> None:
    agree(depthwise_conv_portable, shape, silu)


@pytest.mark.parametrize("shape", [*SHAPES, *LARGE, *EMPTY], ids=str)
@pytest.mark.parametrize("silu", [False, True], ids=["plain", "silu"])
@pytest.mark.usefixtures("native", "poisoned_memory")
def test_native_values_and_gradients_equal_the_reference(shape: Shape, silu: bool) -> None:
    agree(depthwise_conv_native, shape, silu)


def test_an_odd_kernel_is_centred_as_torch_centres_it() -> None:
    x, weight = torch.randn(2, 11, 3, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    expected = functional.conv1d(x.mT, weight[:, None], padding=4, dilation=2, groups=3).mT
    torch.testing.assert_close(depthwise_conv(x, weight, dilation=2), expected)


def test_without_taps_ahead_no_output_sees_a_later_token() -> None:
    x = torch.randn(1, 9, 2, dtype=torch.float64, requires_grad=True)
    depthwise_conv(x, torch.randn(2, 4, dtype=torch.float64), ahead=0, silu=True)[:, :5].sum().backward()
    assert x.grad is not None
    assert x.grad[:, 5:].abs().max() == 0
    assert x.grad[:, :5].abs().min() > 0


def test_reversing_tokens_and_taps_reverses_the_output() -> None:
    x, weight = torch.randn(2, 70, 3), torch.randn(3, 7)
    turned = depthwise_conv(x.flip(1), weight.flip(1), ahead=5).flip(1)
    torch.testing.assert_close(turned, depthwise_conv(x, weight, ahead=1))


@pytest.mark.usefixtures("native")
def test_one_thread_and_two_give_the_same_bits() -> None:
    x, weight = torch.randn(2, 700, 40, requires_grad=True), torch.randn(40, 5, requires_grad=True)
    before = torch.get_num_threads()
    found: list[tuple[Tensor, ...]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        y = depthwise_conv(x, weight, silu=True)
        found.append((y, *torch.autograd.grad(y, (x, weight), torch.ones_like(y))))
    torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_part_of_a_wider_projection_is_read_where_it_lies() -> None:
    wide, weight = torch.randn(2, 20, 9), torch.randn(4, 3)
    torch.testing.assert_close(
        depthwise_conv(wide[..., 3:7], weight), depthwise_conv(wide[..., 3:7].contiguous(), weight), rtol=0, atol=0
    )


def test_what_no_kernel_has_is_refused() -> None:
    x, weight = torch.zeros(1, 4, 2), torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"depthwise_conv: ahead = 3 of 3 taps, expected 0 to 2\."):
        depthwise_conv(x, weight, ahead=3)
    with pytest.raises(ValueError, match=r"depthwise_conv: dilation = 0, expected 1 or more\."):
        depthwise_conv(x, weight, dilation=0)
    with pytest.raises(ValueError, match="expected \\(c k\\) with at least one tap"):
        depthwise_conv(x, torch.zeros(2, 0))


def test_cost_is_one_multiply_add_for_each_tap_and_number() -> None:
    assert depthwise_conv_cost(2, 10, 3, 5) == 2 * 10 * 3 * 5
    assert depthwise_conv_bytes(2, 10, 3) == 2 * 2 * 10 * 3 * 4
