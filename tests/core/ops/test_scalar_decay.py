"""The scalar-decay recurrence on a CPU against its float64 oracle, at the limits of the core's tolerance table."""

import inspect
from collections.abc import Callable
from itertools import pairwise

import jaxtyping
import pytest
import torch
from torch import Tensor

from armillary.core.ops import scalar_decay, scalar_decay_bytes, scalar_decay_cost
from armillary.core.ops.scalar_decay import portable
from armillary.core.ops.scalar_decay.native import scalar_decay_native
from armillary.core.ops.scalar_decay.portable import scalar_decay_portable
from armillary.core.ops.scalar_decay.reference import scalar_decay_reference
from armillary.core.testing import assert_agree, relative_rms

VALUE = GRADIENT = 5e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 5e-3, 1e-2  # bfloat16, on the same rounded inputs

# batch, length, heads, head width, states, groups
SHAPES = [(2, 37, 4, 3, 5, 1), (2, 64, 4, 3, 5, 4), (1, 300, 6, 2, 3, 2), (3, 1, 4, 3, 5, 2), (2, 5, 1, 1, 1, 1)]
EMPTY = [(0, 5, 2, 2, 2, 1), (2, 0, 4, 2, 2, 1), (0, 0, 4, 2, 2, 2)]
Shape = tuple[int, int, int, int, int, int]
# More than a vector of channels and of states, more than a tile of states, and what is left over of each.
WIDE = [(1, 70, 4, 17, 35, 2), (2, 130, 1, 5, 9, 1)]
Tier = Callable[..., tuple[Tensor, Tensor]]


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


@pytest.fixture(params=["portable", "native"])
def tier(request: pytest.FixtureRequest) -> Tier:
    if request.param == "portable":
        return scalar_decay_portable
    request.getfixturevalue("native")
    return scalar_decay_native


def packed(*shape: int) -> dict[str, Tensor]:
    """Segment numbers that come back, so that equal numbers far apart are not one sequence."""
    jumps = torch.rand(shape[:2], generator=torch.Generator().manual_seed(3)) < 0.15
    return random_inputs(*shape) | {"segments": jumps.long().cumsum(1) % 3}


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("chunk", [1, 32, 256])
def test_values_and_gradients_equal_the_reference(shape: Shape, chunk: int) -> None:
    inputs = random_inputs(*shape)
    assert_agree(_chunked(chunk), scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("chunk", [1, 7, 32])
def test_packed_segments_equal_the_reference(shape: Shape, chunk: int) -> None:
    assert_agree(_chunked(chunk), scalar_decay_reference, packed(*shape), value=VALUE, gradient=GRADIENT)


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY, *WIDE], ids=str)
@pytest.mark.usefixtures("native", "poisoned_memory")
def test_native_values_and_gradients_equal_the_reference(shape: Shape) -> None:
    for inputs in (random_inputs(*shape), packed(*shape)):
        assert_agree(scalar_decay_native, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


@pytest.mark.usefixtures("native")
def test_native_keeps_one_state_in_a_longer_chunk_if_told_so() -> None:
    def op(**inputs: Tensor) -> tuple[Tensor, Tensor]:
        return scalar_decay_native(**inputs, chunk=100)

    assert_agree(op, scalar_decay_reference, random_inputs(1, 230, 2, 3, 5, 1), value=VALUE, gradient=GRADIENT)


@pytest.mark.usefixtures("native")
def test_native_gradients_are_the_same_for_any_number_of_threads() -> None:
    leaves = [tensor.requires_grad_() for tensor in random_inputs(2, 200, 4, 24, 16, 2).values()]

    def gradients(threads: int) -> tuple[Tensor, ...]:
        torch.set_num_threads(threads)
        y, state = scalar_decay_native(*leaves)
        return torch.autograd.grad(y.square().sum() + state.square().sum(), leaves)

    before = torch.get_num_threads()
    try:
        found = [gradients(threads) for threads in (1, 2, 3)]
    finally:
        torch.set_num_threads(before)
    for one, *others in zip(*found, strict=True):
        assert all(torch.equal(one, other) for other in others)


@pytest.mark.usefixtures("native")
def test_native_reads_parts_of_a_wider_projection_where_they_lie() -> None:
    inputs = {
        name: torch.cat([tensor, torch.full_like(tensor, torch.nan)], -1)[..., : tensor.shape[-1]]
        for name, tensor in random_inputs(2, 37, 4, 3, 5, 2).items()
    }
    assert_agree(scalar_decay_native, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


@pytest.mark.usefixtures("native")
def test_what_is_not_finite_does_not_cross_a_border_of_segments_in_the_native_tier() -> None:
    inputs = random_inputs(1, 20, 2, 3, 4, 1)
    inputs["x"][0, 5, 1, 2] = torch.nan
    segments = torch.arange(20)[None] // 10
    y, state = scalar_decay_native(**inputs, segments=segments)
    assert y[0, 5:10, 1, 2].isnan().all()
    assert y[0, 10:].isfinite().all()
    assert state.isfinite().all()


def test_packed_sequences_equal_each_alone(tier: Tier) -> None:
    inputs = random_inputs(2, 50, 4, 3, 5, 2) | {"initial_state": None}
    borders = [0, 13, 14, 40, 50]
    numbers = torch.zeros(2, 50, dtype=torch.long)
    for border in borders[1:-1]:
        numbers[:, border:] += 1
    whole, state = tier(**inputs, segments=numbers)
    for first, last in pairwise(borders):
        part = {name: None if tensor is None else tensor[:, first:last] for name, tensor in inputs.items()}
        alone, after = tier(**part)
        assert relative_rms(whole[:, first:last], alone) < VALUE
    assert relative_rms(state, after) < VALUE


def test_the_initial_state_may_be_absent(tier: Tier) -> None:
    inputs = random_inputs(2, 19, 4, 3, 5, 2) | {"initial_state": None}
    assert_agree(tier, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_double_precision_is_kept() -> None:
    inputs = {name: tensor.double() for name, tensor in random_inputs(2, 70, 4, 3, 5, 2).items()}
    assert_agree(scalar_decay, scalar_decay_reference, inputs, value=1e-13, gradient=1e-13)


def test_half_precision_inputs_accumulate_in_single_precision(tier: Tier) -> None:
    inputs = {name: tensor.bfloat16() for name, tensor in random_inputs(2, 200, 4, 8, 8, 2).items()}
    y, state = tier(**inputs)
    assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    assert_agree(tier, scalar_decay_reference, inputs, value=HALF_VALUE, gradient=HALF_GRADIENT)


def test_autocast_does_not_narrow_the_recurrence(tier: Tier) -> None:
    inputs = random_inputs(2, 70, 4, 8, 8, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = tier(**inputs)
    assert torch.equal(y, tier(**inputs)[0])


def test_inputs_may_lie_in_memory_in_any_order(tier: Tier) -> None:
    inputs = {
        name: tensor.movedim(0, -1).contiguous().movedim(-1, 0)
        for name, tensor in random_inputs(2, 37, 4, 3, 5, 2).items()
    }
    assert_agree(tier, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_a_decay_that_overflows_above_the_diagonal_leaves_gradients_finite(tier: Tier) -> None:
    inputs = random_inputs(1, 64, 2, 3, 4, 1)
    inputs["log_decay"] = inputs["log_decay"] * 100
    assert_agree(tier, scalar_decay_reference, inputs, value=VALUE, gradient=GRADIENT)


def test_no_input_and_no_decay_leave_the_state_as_it_is(tier: Tier) -> None:
    inputs = random_inputs(2, 40, 4, 3, 5, 2)
    _, state = tier(**inputs | {name: torch.zeros_like(inputs[name]) for name in ("x", "log_decay")})
    assert torch.equal(state, inputs["initial_state"])


def test_inputs_are_left_as_they_were(tier: Tier) -> None:
    inputs = random_inputs(2, 37, 4, 3, 5, 2)
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    tier(**inputs)
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


def test_gradients_are_the_slopes() -> None:
    inputs = {name: tensor.double().requires_grad_() for name, tensor in random_inputs(1, 5, 2, 1, 2, 1).items()}
    segments = torch.tensor([[0, 0, 1, 1, 1]])
    assert torch.autograd.gradcheck(lambda *given: scalar_decay(*given, segments, chunk=3), list(inputs.values()))


@pytest.mark.parametrize("kept", [0, 1], ids=["y", "state"])
def test_either_result_may_carry_the_gradient_alone(kept: int) -> None:
    inputs = {name: tensor.double() for name, tensor in random_inputs(2, 21, 4, 3, 5, 2).items()}
    slopes = []
    for op in (scalar_decay, scalar_decay_reference):
        leaf = inputs["x"].clone().requires_grad_()
        op(**inputs | {"x": leaf})[kept].square().sum().backward()
        slopes.append(leaf.grad)
    torch.testing.assert_close(slopes[0], slopes[1])


def test_backward_keeps_a_state_a_chunk_and_the_inputs() -> None:
    inputs = {name: tensor.requires_grad_() for name, tensor in random_inputs(1, 256, 2, 8, 16, 1).items()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        scalar_decay_portable(**inputs, chunk=32)
    assert sum(kept.values()) <= 256 * (2 * 8 + 2 + 2 * 16) + (256 // 32 + 1) * 2 * 8 * 16


def test_what_is_not_finite_shows_in_the_rest_of_the_row_and_stays_in_it(tier: Tier) -> None:
    inputs = random_inputs(2, 40, 2, 3, 4, 1)
    inputs["x"][0, 17, 1, 2] = torch.nan
    y, state = tier(**inputs, chunk=8)
    assert y[0, 17:, 1, 2].isnan().all()
    assert state[0, 1, 2].isnan().all()
    assert torch.isfinite(y[1]).all()
    assert torch.isfinite(y[0, :, 0]).all()


def test_a_decay_to_nothing_forgets_the_state(tier: Tier) -> None:
    inputs = random_inputs(2, 20, 2, 3, 4, 1)
    inputs["log_decay"][:, 9] = -torch.inf
    y, state = tier(**inputs, chunk=8)
    later = {name: tensor[:, 9:] for name, tensor in inputs.items() if name != "initial_state"}
    torch.testing.assert_close((y[:, 9:], state), tier(**later, chunk=8))


def test_mapping_equals_a_batch_for_values(tier: Tier) -> None:
    inputs = random_inputs(6, 9, 4, 3, 2, 2)
    pairs = [tensor.unflatten(0, (2, 3)) for tensor in inputs.values()]
    mapped = torch.func.vmap(lambda *given: tier(*given, chunk=4))(*pairs)
    torch.testing.assert_close(tuple(part.flatten(0, 1) for part in mapped), tier(**inputs, chunk=4))


def test_the_gradient_of_the_portable_tier_may_be_mapped() -> None:
    inputs = random_inputs(6, 9, 4, 3, 2, 2)
    pairs = [tensor.unflatten(0, (2, 3)) for tensor in inputs.values()]

    def loss(x: Tensor, *others: Tensor) -> Tensor:
        return scalar_decay_portable(x, *others, chunk=4)[0].square().sum()

    gradient = torch.func.vmap(torch.func.grad(loss))(*pairs).flatten(0, 1)
    torch.testing.assert_close(gradient, torch.func.grad(loss)(*inputs.values()))


# The compiler makes an instance of the autograd function, which is what torch itself warns of.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_compiles_in_one_graph_with_its_gradient(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiler cannot trace the checks that only tests have, least of all around an autograd function.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for name in ("forward", "backward", "setup_context"):
        unchecked = inspect.unwrap(getattr(portable._Chunked, name))
        monkeypatch.setattr(portable._Chunked, name, staticmethod(unchecked))
    inputs, segments = random_inputs(2, 9, 4, 3, 2, 2), torch.tensor([[0] * 4 + [1] * 5] * 2)
    compiled = torch.compile(tier, backend="aot_eager", fullgraph=True)
    leaves = [inputs["x"].clone().requires_grad_() for _ in range(2)]
    for function, leaf in zip((compiled, tier), leaves, strict=True):
        y, state = function(**inputs | {"x": leaf}, segments=segments, chunk=4)
        (y.square().sum() + state.square().sum()).backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("x", (2, 9, 12), r"scalar_decay: x has shape \(2, 9, 12\), expected 4 axes \(b l h p\)"),
        ("log_decay", (2, 9, 3), r"scalar_decay: log_decay has shape \(2, 9, 3\), expected \(b l h\) = \(2, 9, 4\)"),
        ("B", (2, 9, 3, 2), r"scalar_decay: C has shape \(2, 9, 2, 2\), expected \(b l g n\) = \(2, 9, 3, 2\)"),
        ("initial_state", (2, 4, 2, 3), r"scalar_decay: initial_state has shape .*, expected .* = \(2, 4, 3, 2\)"),
        ("segments", (2, 8), r"scalar_decay: segments has shape \(2, 8\), expected \(b l\) = \(2, 9\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _unchecked()(**random_inputs(2, 9, 4, 3, 2, 2) | {name: torch.ones(shape)})


def test_groups_that_do_not_divide_the_heads_and_an_empty_chunk_are_refused() -> None:
    inputs = random_inputs(2, 9, 4, 3, 2, 1)
    thirds = {name: inputs[name].expand(-1, -1, 3, -1) for name in ("B", "C")}
    with pytest.raises(ValueError, match="scalar_decay: groups g of B = 3 does not divide heads h of x = 4"):
        _unchecked()(**inputs | thirds)
    with pytest.raises(ValueError, match="scalar_decay: chunk = 0, expected at least 1"):
        _unchecked()(**inputs, chunk=0)
    with pytest.raises(ValueError, match=r"scalar_decay: B has dtype torch\.int64, expected a real"):
        _unchecked()(**inputs | {"B": torch.ones(2, 9, 1, 2, dtype=torch.long)})


def test_counted_cost_grows_with_length_and_chunk() -> None:
    sizes = (3, 5, 7, 1)
    assert scalar_decay_cost(2, 64, *sizes, chunk=32) == 2 * 64 * (3 * (32 * 5 + 2 * 7 * 5) + 32 * 7)
    assert scalar_decay_cost(2, 128, *sizes, chunk=32) == 2 * scalar_decay_cost(2, 64, *sizes, chunk=32)


def test_counted_traffic_is_inputs_outputs_and_a_state_a_chunk() -> None:
    tokens = 2 * 64 * 4 * (3 * (2 * 5 + 1) + 2 * 7)
    assert scalar_decay_bytes(2, 64, 3, 5, 7, 1, chunk=32) == tokens + 2 * 2 * 2 * 4 * 3 * 5 * 7


def _chunked(chunk: int):
    def op(**inputs: Tensor) -> tuple[Tensor, Tensor]:
        return scalar_decay_portable(**inputs, chunk=chunk)

    return op


def _unchecked():
    """Without the shape checks that only tests have, so that the user's own error is seen."""
    function = scalar_decay
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function
