"""The portable and native tiers of the selective scan against its float64 oracle, at the limits of the core."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from armillary.core.ops import library
from armillary.core.ops.selective_scan import grid_paths, selective_scan, selective_scan_bytes, selective_scan_cost
from armillary.core.ops.selective_scan.op import OP
from armillary.core.ops.selective_scan.reference import selective_scan_reference
from armillary.core.testing import assert_agree

VALUE, GRADIENT = 1e-6, 3e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 4e-3, 1e-2  # bfloat16, on the same rounded inputs

# batch, length, width, states, groups
SHAPES = [
    (2, 37, 8, 4, 1),
    (2, 64, 6, 16, 3),
    (1, 257, 4, 3, 2),
    (3, 1, 8, 4, 2),
    (2, 5, 4, 1, 4),
    (2, 16, 1, 2, 1),
    (1, 20, 70, 5, 2),
    (1, 9, 40, 64, 1),
]
EMPTY = [(0, 5, 4, 2, 1), (2, 0, 4, 2, 2), (0, 0, 4, 2, 1)]
Scan = Callable[..., tuple[Tensor, Tensor]]


@pytest.fixture(params=["portable", "native"])
def scan(request: pytest.FixtureRequest) -> Scan:
    if request.param == "native":
        request.getfixturevalue("native")
    return OP.load(request.param)


def random_inputs(batch: int, length: int, width: int, states: int, groups: int, seed: int = 0) -> dict[str, Any]:
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


def shuffled(length: int) -> Tensor:
    return torch.randperm(length, generator=torch.Generator().manual_seed(1))


def agree(scan: Scan, inputs: dict[str, Any], value: float = VALUE, gradient: float = GRADIENT, **order: Any) -> None:
    exact = partial(selective_scan_reference, **{name: given for name, given in order.items() if name != "chunk"})
    assert_agree(partial(scan, **order), exact, inputs, value=value, gradient=gradient)


def half(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor if name in ("A", "D") else tensor.bfloat16() for name, tensor in inputs.items()}


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=str)
@pytest.mark.parametrize("chunk", [1, 16, None])
def test_values_and_gradients_equal_the_reference(scan: Scan, shape: tuple[int, ...], chunk: int | None) -> None:
    agree(scan, random_inputs(*shape), chunk=chunk)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, None])
@pytest.mark.parametrize("shape", [(2, 37, 20, 4, 2), (2, 0, 4, 2, 2)], ids=str)
def test_any_order_of_the_tokens_equals_the_reference(
    scan: Scan, shape: tuple[int, ...], dtype: torch.dtype | None, reverse: bool
) -> None:
    path = None if dtype is None else shuffled(shape[1]).to(dtype)
    agree(scan, random_inputs(*shape) | {"path": path}, reverse=reverse, chunk=16)


@pytest.mark.parametrize("absent", ["D", "z", "initial_state"])
def test_optional_inputs_may_be_absent(scan: Scan, absent: str) -> None:
    agree(scan, random_inputs(2, 19, 6, 4, 2) | {absent: None})


def test_double_precision_is_kept() -> None:
    inputs = {name: tensor.double() for name, tensor in random_inputs(2, 37, 6, 4, 2).items()}
    agree(selective_scan, inputs, value=1e-14, gradient=1e-14)


def test_half_precision_inputs_accumulate_in_single_precision(scan: Scan) -> None:
    inputs = half(random_inputs(2, 200, 6, 4, 2))
    y, state = scan(**inputs)
    assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    agree(scan, inputs, value=HALF_VALUE, gradient=HALF_GRADIENT)


def test_autocast_does_not_narrow_the_scan(scan: Scan) -> None:
    results = []
    for enabled in (False, True):
        inputs = {name: tensor.requires_grad_() for name, tensor in random_inputs(2, 37, 8, 4, 2).items()}
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            y, state = scan(**inputs)
            (y.sum() + state.sum()).backward()
        results.append([y, state, *(tensor.grad for tensor in inputs.values())])
    assert all(torch.equal(plain, cast) for plain, cast in zip(*results, strict=True))


def test_inputs_may_lie_in_memory_in_any_order(scan: Scan) -> None:
    inputs = {name: tensor.movedim(0, -1).contiguous().movedim(-1, 0) for name, tensor in _inputs().items()}
    agree(scan, inputs)


def test_halves_of_one_projection_are_read_where_they_are(native: None) -> None:
    from armillary.core.ops.selective_scan import native as tier

    both = torch.randn(2, 37, 16)
    x, z = both.chunk(2, dim=-1)
    for part in (x, z):
        read, *strides = tier._rows(part)
        assert (read.data_ptr(), strides) == (part.data_ptr(), [37 * 16, 16])
    agree(OP.load("native"), _inputs() | {"x": x, "z": z})


def test_inputs_are_left_as_they_were(scan: Scan) -> None:
    inputs = {name: tensor.requires_grad_() for name, tensor in _inputs().items()}
    before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    y, state = scan(**inputs)
    (y.sum() + state.sum()).backward()
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


def test_memory_that_was_never_written_is_never_read(scan: Scan, poisoned_memory: None) -> None:
    agree(scan, random_inputs(2, 37, 20, 5, 2) | {"path": shuffled(37)}, chunk=16)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_reaches_every_later_token_of_its_channel_alone(scan: Scan, bad: float) -> None:
    inputs = _inputs()
    inputs["x"][1, 20, 3] = bad
    y, state = scan(**inputs, chunk=16)
    touched = ~torch.isfinite(y)
    assert touched[1, 20:, 3].all()
    assert touched.sum() == 37 - 20
    assert not torch.isfinite(state[1, 3]).any()


@pytest.mark.parametrize("part", [0, 1])
def test_each_result_alone_carries_a_gradient(scan: Scan, part: int) -> None:
    slopes = []
    for op in (scan, selective_scan_reference):
        leaf = _inputs()["x"].requires_grad_()
        result = op(**_inputs() | {"x": leaf})[part]
        (result * torch.linspace(-1, 1, result.shape[-1])).sum().backward()
        slopes.append(leaf.grad)
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_finite_differences() -> None:
    inputs = {name: tensor.double().requires_grad_() for name, tensor in random_inputs(1, 4, 2, 2, 1).items()}
    ordered = partial(OP.load("portable"), path=shuffled(4), reverse=True, chunk=2)
    assert torch.autograd.gradcheck(ordered, tuple(inputs.values()))


def test_a_step_of_size_zero_leaves_the_state_as_it_is(scan: Scan) -> None:
    inputs = random_inputs(2, 9, 4, 3, 1)
    _, state = scan(**inputs | {"dt": torch.zeros_like(inputs["dt"])})
    assert torch.equal(state, inputs["initial_state"])


def test_two_halves_in_turn_give_what_the_whole_gives(scan: Scan) -> None:
    inputs = _inputs()
    parts = [
        {name: inputs[name][:, where] for name in ("x", "dt", "B", "C", "z")} for where in (slice(13), slice(13, None))
    ]
    y, state = scan(**inputs)
    first, middle = scan(**inputs | parts[0])
    second, last = scan(**inputs | parts[1] | {"initial_state": middle})
    torch.testing.assert_close(torch.cat([first, second], dim=1), y, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(last, state, rtol=1e-5, atol=1e-6)


def test_a_fast_decay_over_a_long_sequence_neither_overflows_nor_loses_accuracy(scan: Scan) -> None:
    inputs = random_inputs(1, 300, 4, 4, 1)
    agree(scan, inputs | {"A": inputs["A"] * 1000})


def test_eight_thousand_tokens_stay_within_the_limits(native: None) -> None:
    # The portable tier in double precision, itself held to the reference above, stands for the slower oracle.
    inputs = random_inputs(1, 8192, 2, 2, 1)
    exact = partial(OP.load("portable"), chunk=512)
    assert_agree(OP.load("native"), exact, inputs, value=VALUE, gradient=GRADIENT)


def test_the_number_of_threads_changes_no_bit(native: None) -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            inputs = {name: tensor.requires_grad_() for name, tensor in random_inputs(2, 37, 70, 4, 1).items()}
            y, state = OP.load("native")(**inputs)
            (y.square().sum() + state.sum()).backward()
            results.append([y, state, *(tensor.grad for tensor in inputs.values())])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, three) for one, three in zip(*results, strict=True))


@pytest.mark.parametrize("level", library.LEVELS)
def test_every_instruction_set_of_this_processor_gives_the_same(
    native: None, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    best = library.LEVELS.index(library.cpu_level())
    if library.LEVELS.index(level) > best:
        pytest.skip(f"this processor has no {level}")
    monkeypatch.setattr(library, "cpu_level", lambda: level)
    library.kernel.cache_clear()
    try:
        agree(OP.load("native"), random_inputs(2, 37, 70, 5, 2))
    finally:
        library.kernel.cache_clear()


def test_a_graph_of_torch_compile_holds_the_scan_whole(scan: Scan) -> None:
    jaxtyping.config.update("jaxtyping_disable", True)  # the compiler cannot see through the checks of the tests
    try:
        compiled = torch.compile(scan, backend="aot_eager", fullgraph=True)
        agree(compiled, random_inputs(1, 5, 4, 2, 1) | {"path": shuffled(5)}, reverse=True)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_vmap_gives_what_a_loop_gives(scan: Scan) -> None:
    first, second = random_inputs(2, 5, 4, 2, 1), random_inputs(2, 5, 4, 2, 1, seed=1)
    names = ("x", "dt", "B", "C")
    both = [torch.stack([first[name], second[name]]) for name in names]
    shared = {name: first[name] for name in ("A", "D")}

    def one(x: Tensor, dt: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        return scan(x, dt, shared["A"], B, C, shared["D"])

    mapped = torch.func.vmap(one)(*both)
    for index, inputs in enumerate((first, second)):
        for all_of_them, alone in zip(mapped, one(*(inputs[name] for name in names)), strict=True):
            assert torch.equal(all_of_them[index], alone)


@pytest.mark.parametrize("tier", ["portable", "native"])
def test_backward_stores_a_state_per_chunk_and_not_per_token(request: pytest.FixtureRequest, tier: str) -> None:
    if tier == "native":
        request.getfixturevalue("native")
    stored = {length: _stored_numbers(OP.load(tier), length) for length in (128, 256)}
    inputs_alone = 2 * 256 * (2 * 8 + 2 * 16)
    assert stored[256] - stored[128] <= 1.1 * (inputs_alone / 2 + 2 * 128 / 16 * 8 * 16)
    assert stored[256] < 2 * 256 * 8 * 16


def test_a_path_of_each_axis_scans_the_grid_as_if_it_were_turned(scan: Scan) -> None:
    inputs = random_inputs(2, 3 * 4 * 5, 6, 4, 1)
    rows = ("x", "dt", "B", "C", "z")
    for axis, path in enumerate(grid_paths((3, 4, 5), torch.device("cpu"))):

        def turned(tensor: Tensor, axis: int = axis) -> Tensor:
            return tensor.unflatten(1, (3, 4, 5)).movedim(1 + axis, 3).flatten(1, 3)

        y, state = scan(**inputs, path=path)
        expected, last = scan(**inputs | {name: turned(inputs[name]) for name in rows})
        torch.testing.assert_close(turned(y), expected)
        torch.testing.assert_close(state, last)


def test_a_reverse_scan_is_the_scan_of_the_mirrored_sequence(scan: Scan) -> None:
    inputs = _inputs()
    y, state = scan(**inputs, reverse=True)
    expected, last = scan(**inputs | {name: inputs[name].flip(1) for name in ("x", "dt", "B", "C", "z")})
    torch.testing.assert_close(y.flip(1), expected)
    torch.testing.assert_close(state, last)


def test_the_paths_of_an_image_go_down_its_columns_and_along_its_rows() -> None:
    columns, rows = grid_paths((2, 3), torch.device("cpu"))
    assert columns.tolist() == [0, 3, 1, 4, 2, 5]
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(5, 8)}, "selective_scan: x has shape (5, 8), expected 3 axes (b l d)."),
        (
            {"A": torch.zeros(4, 8)},
            "selective_scan: A has shape (4, 8), expected (d n) = (8, 8), as the other arguments tell.",
        ),
        (
            {"C": torch.zeros(2, 5, 2, 3)},
            "selective_scan: C has shape (2, 5, 2, 3), expected (b l g n) = (2, 5, 2, 4), as the other arguments tell.",
        ),
        (
            {"B": torch.zeros(2, 5, 3, 4), "C": torch.zeros(2, 5, 3, 4)},
            "selective_scan: groups g = 3 does not divide channels d = 8; choose one that does.",
        ),
        ({"A": torch.zeros(8, 0)}, "selective_scan: A has shape (8, 0), expected at least one state a channel."),
        (
            {"x": torch.zeros(2, 5, 8, dtype=torch.int64)},
            "selective_scan: x has dtype torch.int64, expected a real floating-point tensor.",
        ),
        (
            {"z": torch.zeros(2, 5, 8, device="meta")},
            "selective_scan: z lies on meta, expected cpu, where x lies; move one of them.",
        ),
        (
            {"path": torch.tensor([0, 1, 2, 2, 4])},
            "selective_scan: path is no permutation of 0..4; every token must be visited exactly once.",
        ),
        (
            {"path": torch.tensor([0, 1, 2, 3, 5])},
            "selective_scan: path is no permutation of 0..4; every token must be visited exactly once.",
        ),
        ({"path": torch.zeros(5)}, "selective_scan: path has dtype torch.float32, expected int64 or int32."),
        (
            {"path": torch.arange(4)},
            "selective_scan: path has shape (4,), expected (l) = (5,), as the other arguments tell.",
        ),
        ({"chunk": 0}, "selective_scan: chunk = 0, expected at least 1 step between stored states, or None."),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change: dict[str, Any], message: str) -> None:
    unchecked = inspect.unwrap(selective_scan)  # the shape checks of the tests would speak first
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        unchecked(**random_inputs(2, 5, 8, 4, 2) | change)
    assert str(raised.value) == message


def test_more_states_than_a_fused_tier_holds_are_left_to_the_portable_one() -> None:
    from armillary.core.ops.selective_scan import op

    assert op._unserved(64) == {}
    choice = OP.choose("cpu", torch.float32, op._unserved(65))
    assert choice.tier == "portable"
    agree(OP.load("portable"), random_inputs(1, 5, 2, 65, 1))


def test_counted_cost_is_four_products_a_state_and_one_a_channel() -> None:
    assert selective_scan_cost(2, 3, 5, 7) == 2 * 3 * 5 * (4 * 7 + 1)


def test_counted_bytes_are_those_of_every_input_and_output() -> None:
    inputs = random_inputs(2, 3, 6, 5, 2)
    results = selective_scan(**inputs)
    assert selective_scan_bytes(2, 3, 6, 5, 2) == sum(t.numel() * 4 for t in (*inputs.values(), *results))
    lighter = selective_scan_bytes(2, 3, 6, 5, 2, gated=False, item=2)
    assert lighter == sum(
        t.numel() * (4 if name in ("A", "D", "initial_state", "state") else 2)
        for name, t in (inputs | {"y": results[0], "state": results[1]}).items()
        if name != "z"
    )


def _inputs() -> dict[str, Any]:
    return random_inputs(2, 37, 8, 4, 2)


def _stored_numbers(scan: Scan, length: int) -> int:
    """Numbers that autograd keeps between forward and backward."""
    inputs = {name: tensor.requires_grad_() for name, tensor in random_inputs(2, length, 8, 16, 1).items()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        scan(**{name: inputs[name] for name in ("x", "dt", "A", "B", "C")}, chunk=16)
    return sum(kept.values())
