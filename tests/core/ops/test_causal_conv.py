"""The depth-wise causal convolution: every tier against its float64 oracle, and bad input."""

import inspect
from collections.abc import Callable

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from armillary.core.ops.causal_conv import causal_conv, causal_conv_bytes, causal_conv_cost, portable
from armillary.core.ops.causal_conv.native import causal_conv_native
from armillary.core.ops.causal_conv.portable import causal_conv_portable
from armillary.core.ops.causal_conv.reference import causal_conv_reference
from armillary.core.testing import assert_agree

VALUE, GRADIENT = 1e-6, 3e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 4e-3, 1e-2  # bfloat16, on the same rounded inputs

# batch, length, channels, taps
SHAPES = [(2, 37, 5, 4), (1, 9, 3, 2), (2, 1, 3, 4), (2, 2, 3, 5), (1, 5, 2, 1)]
EMPTY = [(0, 5, 2, 3), (2, 0, 4, 3), (0, 0, 4, 2)]
Shape = tuple[int, int, int, int]
Tier = Callable[..., Tensor]


@pytest.fixture(params=["portable", "native", "triton"])
def tier(request: pytest.FixtureRequest) -> Tier:
    """Every tier, on the CPU."""
    if request.param == "portable":
        return causal_conv_portable
    if request.param == "native":
        request.getfixturevalue("native")
        return causal_conv_native
    from armillary.core.ops.causal_conv.triton import causal_conv_triton

    return causal_conv_triton


def random_inputs(shape: Shape, packed: bool = False) -> dict[str, Tensor | None]:
    batch, length, channels, taps = shape
    generator = torch.Generator().manual_seed(0)
    jumps = torch.rand(batch, length, generator=generator) < 0.2
    return {
        "x": torch.randn(batch, length, channels, generator=generator),
        "weight": torch.randn(channels, taps, generator=generator),
        "bias": torch.randn(channels, generator=generator),
        "history": torch.randn(batch, taps - 1, channels, generator=generator),
        "runs": jumps.long().cumsum(1) if packed else None,
    }


def agree(
    tier: Tier, inputs: dict[str, Tensor | None], silu: bool, value: float = VALUE, grad: float = GRADIENT
) -> None:
    def called(op: Tier) -> Callable[..., tuple[Tensor]]:
        return lambda **given: (op(*given.values(), silu),)

    assert_agree(called(tier), called(causal_conv_reference), inputs, value=value, gradient=grad)


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("silu", [False, True], ids=["plain", "silu"])
def test_portable_values_and_gradients_equal_the_reference(shape: Shape, packed: bool, silu: bool) -> None:
    agree(causal_conv_portable, random_inputs(shape, packed), silu)


# More than one block of tokens, of vectors, and what is left over of both.
@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY, (2, 150, 21, 4), (1, 70, 3, 3), (1, 260, 2, 18)], ids=str)
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("silu", [False, True], ids=["plain", "silu"])
@pytest.mark.usefixtures("native", "poisoned_memory")
def test_native_values_and_gradients_equal_the_reference(shape: Shape, packed: bool, silu: bool) -> None:
    agree(causal_conv_native, random_inputs(shape, packed), silu)


@pytest.mark.parametrize("shape", [(2, 19, 5, 4), (1, 3, 2, 5), (1, 4, 2, 1), (2, 0, 4, 3)], ids=str)
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.usefixtures("poisoned_memory")
def test_triton_values_and_gradients_equal_the_reference(shape: Shape, packed: bool) -> None:
    from armillary.core.ops.causal_conv.triton import causal_conv_triton

    for silu in (False, True):
        agree(causal_conv_triton, random_inputs(shape, packed), silu)


def every_configuration_agrees(inputs: dict[str, Tensor | None], device: str) -> None:
    from armillary.core.ops.causal_conv import triton as tier

    def there(*given: Tensor | bool | None) -> Tensor:
        return tier.causal_conv_triton(*(one.to(device) if isinstance(one, Tensor) else one for one in given)).cpu()

    for tuned in (tier.SUMS, tier.SUMS_BACK, tier.INPUTS_BACK):
        for index in range(len(tuned.configs)):
            with tuned.pinned(index):
                agree(there, inputs, True)


def test_every_triton_configuration_equals_the_reference() -> None:
    every_configuration_agrees(random_inputs((1, 7, 3, 4), packed=True), "cpu")


@pytest.mark.gpu
def test_every_triton_configuration_equals_the_reference_on_a_device() -> None:
    every_configuration_agrees(random_inputs((2, 301, 70, 4), packed=True), "cuda")


@pytest.mark.parametrize("absent", ["bias", "history"])
def test_bias_and_history_may_be_absent(tier: Tier, absent: str) -> None:
    agree(tier, random_inputs((2, 9, 3, 4)) | {absent: None}, True)


def test_half_precision_inputs_are_summed_in_single_precision(tier: Tier) -> None:
    inputs = {
        name: None if tensor is None else tensor.bfloat16() for name, tensor in random_inputs((2, 21, 6, 4)).items()
    }
    assert tier(*inputs.values(), True).dtype == torch.bfloat16
    agree(tier, inputs, True, HALF_VALUE, HALF_GRADIENT)


def test_it_equals_the_depthwise_convolution_of_torch() -> None:
    inputs = random_inputs((2, 37, 5, 4))
    x, weight, bias = inputs["x"], inputs["weight"], inputs["bias"]
    padded = functional.pad(x.mT, (3, 0))
    expected = functional.conv1d(padded, weight[:, None], bias, groups=5).mT
    torch.testing.assert_close(causal_conv(x, weight, bias), expected)
    torch.testing.assert_close(causal_conv(x, weight, bias, silu=True), functional.silu(expected))


def test_steps_with_the_last_inputs_equal_the_whole() -> None:
    inputs = random_inputs((2, 11, 5, 4))
    extended = torch.cat([inputs["history"], inputs["x"]], 1)
    weight, bias = inputs["weight"], inputs["bias"]
    steps = [
        causal_conv(extended[:, t + 3 : t + 4], weight, bias, extended[:, t : t + 3], silu=True) for t in range(11)
    ]
    torch.testing.assert_close(torch.cat(steps, 1), causal_conv(**inputs, silu=True))


def test_gradients_are_the_slopes() -> None:
    inputs = random_inputs((2, 5, 2, 3), packed=True)
    leaves = [t.double().requires_grad_() for t in inputs.values() if t is not None and t.is_floating_point()]
    assert torch.autograd.gradcheck(lambda *given: causal_conv(*given, inputs["runs"], silu=True), leaves)


def test_inputs_may_lie_in_memory_in_any_order_and_are_left_as_they_were(tier: Tier) -> None:
    inputs = random_inputs((2, 9, 5, 4))
    strided = {
        name: None if tensor is None else tensor.movedim(0, -1).contiguous().movedim(-1, 0)
        for name, tensor in inputs.items()
    }
    agree(tier, strided, True)
    assert all(torch.equal(strided[name], tensor) for name, tensor in inputs.items() if tensor is not None)


@pytest.mark.usefixtures("native")
def test_a_part_of_a_wider_projection_is_read_where_it_lies() -> None:
    wide = {name: random_inputs((2, 70, 25, 4))[name] for name in ("x", "history")}
    parts = {name: tensor[..., 3:20] for name, tensor in wide.items() if tensor is not None}
    agree(causal_conv_native, random_inputs((2, 70, 17, 4), packed=True) | parts, True)


@pytest.mark.usefixtures("native")
def test_native_gradients_are_the_same_for_any_number_of_threads() -> None:
    inputs = random_inputs((3, 200, 70, 4))  # large enough for more than one thread
    leaves = [tensor.requires_grad_() for tensor in inputs.values() if tensor is not None]

    def gradients(threads: int) -> tuple[Tensor, ...]:
        torch.set_num_threads(threads)
        return torch.autograd.grad(causal_conv_native(**inputs, silu=True).square().sum(), leaves)

    before = torch.get_num_threads()
    try:
        found = [gradients(threads) for threads in (1, 2, 3)]
    finally:
        torch.set_num_threads(before)
    for one, *others in zip(*found, strict=True):
        assert all(torch.equal(one, other) for other in others)


def test_what_is_not_finite_stays_where_the_taps_reach(tier: Tier) -> None:
    inputs = random_inputs((1, 12, 2, 3))
    inputs["x"][0, 4, 1] = torch.nan
    wrong = tier(*inputs.values(), False).isnan().nonzero()
    assert wrong[:, 1].tolist() == [4, 5, 6]
    assert wrong[:, 2].unique().tolist() == [1]


def test_autocast_and_mapping_leave_values_as_they_are(tier: Tier) -> None:
    x, *others = random_inputs((2, 9, 5, 4), packed=True).values()
    expected = tier(x, *others, True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(tier(x, *others, True), expected)
    mapped = torch.func.vmap(lambda one: tier(one, *others, True))(torch.stack([x, 2 * x]))
    torch.testing.assert_close(mapped[0], expected)


# The compiler makes an instance of the autograd function, which is what torch itself warns of.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("tier", ["portable", "native"], indirect=True)
def test_it_compiles_in_one_graph_with_its_gradient(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiler cannot trace the checks that only tests have, least of all around an autograd function.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for name in ("forward", "backward", "setup_context"):
        unchecked = inspect.unwrap(getattr(portable._Convolution, name))
        monkeypatch.setattr(portable._Convolution, name, staticmethod(unchecked))
    x, *others = random_inputs((2, 9, 5, 4), packed=True).values()
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    compiled = torch.compile(tier, backend="aot_eager", fullgraph=True)
    for function, leaf in zip((compiled, tier), leaves, strict=True):
        function(leaf, *others, True).square().sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", torch.ones(2, 5), r"causal_conv: x has shape \(2, 5\), expected 3 axes \(b l c\)"),
        ("weight", torch.ones(4, 4), r"causal_conv: weight has shape \(4, 4\), expected \(c k\) = \(5, 4\)"),
        ("weight", torch.ones(5, 0), "causal_conv: weight has shape .* expected .* at least one tap"),
        ("history", torch.ones(2, 4, 5), r"causal_conv: history has shape \(2, 4, 5\), expected .* = \(2, 3, 5\)"),
        ("runs", torch.ones(2, 8), r"causal_conv: runs has shape \(2, 8\)"),
        ("bias", torch.ones(5, dtype=torch.long), "causal_conv: bias has dtype torch.int64, expected a real"),
    ],
)
def test_arguments_that_do_not_fit_are_named(name: str, value: Tensor, message: str) -> None:
    unchecked = causal_conv
    while hasattr(unchecked, "__wrapped__"):  # the shape checks of the tests would speak first
        unchecked = unchecked.__wrapped__
    with pytest.raises(ValueError, match=message):
        unchecked(**random_inputs((2, 9, 5, 4)) | {name: value})


def test_counted_cost_is_a_product_a_tap_and_traffic_in_and_out() -> None:
    assert causal_conv_cost(2, 3, 5, 4) == 2 * 3 * 5 * 4
    assert causal_conv_bytes(2, 3, 5) == 2 * 2 * 3 * 5 * 4
