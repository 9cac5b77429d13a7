"""The fused streaming steps of Mamba and Mamba-2 against their float64 oracles, in every tier and instruction set."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from armillary.core.ops import library
from armillary.core.ops.dispatch import Op
from armillary.core.ops.mamba2_step import mamba2_step, mamba2_step_bytes, mamba2_step_cost
from armillary.core.ops.mamba2_step.op import OP as MAMBA2
from armillary.core.ops.mamba_step import mamba_step, mamba_step_bytes, mamba_step_cost
from armillary.core.ops.mamba_step.op import OP as MAMBA
from armillary.core.ops.streaming import fusing_problem
from armillary.core.testing import assert_agree, relative_rms

VALUE = GRADIENT = 5e-6  # float32, relative RMS
pytestmark = pytest.mark.filterwarnings("ignore::armillary.core.ops.dispatch.SlowOpWarning")

# batch, width, inner channels, states, rank, taps
MAMBA_SHAPES = [
    (1, 256, 512, 16, 16, 4),
    (9, 5, 7, 3, 2, 4),
    (4, 3, 2, 1, 1, 1),
    (3, 33, 35, 20, 5, 2),
    (0, 4, 8, 2, 1, 3),
]
# batch, width, heads, head width, states, groups, taps
MAMBA2_SHAPES = [
    (1, 64, 2, 64, 64, 1, 4),
    (9, 5, 6, 3, 5, 2, 4),
    (4, 3, 1, 1, 1, 1, 1),
    (3, 9, 4, 5, 19, 4, 2),
    (0, 4, 2, 4, 2, 1, 3),
]
Inputs = dict[str, Tensor | None]


def mamba_inputs(batch: int, width: int, inner: int, states: int, rank: int, taps: int, before: bool = True) -> Inputs:
    normal = _normals()
    return {
        "u": normal(batch, width),
        "window": normal(batch, taps - 1, inner) if before else None,
        "state": normal(batch, inner, states) if before else None,
        "in_proj": normal(2 * inner, width),
        "conv_weight": normal(inner, taps),
        "conv_bias": normal(inner),
        "x_proj": normal(rank + 2 * states, inner),
        "dt_proj": normal(inner, rank),
        "dt_bias": normal(inner) * 4 - 1,
        "A_log": normal(inner, states),
        "D": normal(inner),
        "out_proj": normal(width, inner),
    }


def mamba2_inputs(
    batch: int, width: int, heads: int, head_width: int, states: int, groups: int, taps: int, before: bool = True
) -> Inputs:
    normal, inner = _normals(), heads * head_width
    channels = inner + 2 * groups * states
    return {
        "u": normal(batch, width),
        "window": normal(batch, taps - 1, channels) if before else None,
        "state": normal(batch, heads, head_width, states) if before else None,
        "in_proj": normal(inner + channels + heads, width),
        "conv_weight": normal(channels, taps),
        "conv_bias": normal(channels),
        "dt_bias": normal(heads) * 4 - 1,
        "A_log": normal(heads),
        "D": normal(heads),
        "norm_weight": normal(inner),
        "out_proj": normal(width, inner),
    }


def _normals() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator) / max(shape[-1], 1) ** 0.5


def cases(before: bool = True) -> Iterator[tuple[Op, Inputs, dict[str, int]]]:
    for shape in MAMBA_SHAPES:
        yield MAMBA, mamba_inputs(*shape, before=before), {}
    for shape in MAMBA2_SHAPES:
        yield MAMBA2, mamba2_inputs(*shape, before=before), {"states": shape[4]}


def exact(op: Op, inputs: Mapping[str, Tensor | None], sizes: Mapping[str, int]) -> tuple[Tensor, ...]:
    wide = [None if tensor is None else tensor.double() for tensor in inputs.values()]
    return op.load("reference")(*wide, *sizes.values())


def assert_near(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...], limit: float = VALUE) -> None:
    for name, one, other in zip(("output", "window", "state"), actual, expected, strict=True):
        assert one.shape == other.shape, name
        assert relative_rms(one, other) <= limit, name


@pytest.fixture(params=library.LEVELS)
def level(request: pytest.FixtureRequest, native: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each instruction set in turn; skips what this processor lacks."""
    monkeypatch.delenv(library.LEVEL_OVERRIDE, raising=False)
    library.cpu_level.cache_clear()
    if library.LEVELS.index(request.param) > library.LEVELS.index(library.cpu_level()):
        pytest.skip(f"this processor has no {request.param}")
    monkeypatch.setattr(library, "cpu_level", lambda: request.param)
    library.kernel.cache_clear()
    yield
    library.kernel.cache_clear()


@pytest.mark.parametrize("before", [True, False], ids=["going-on", "from-nothing"])
def test_the_native_step_equals_the_reference_at_every_level(level: None, poisoned_memory: None, before: bool) -> None:
    for op, inputs, sizes in cases(before):
        actual = op.load("native")(*inputs.values(), *sizes.values())
        assert_near(actual, exact(op, inputs, sizes))


@pytest.mark.parametrize("before", [True, False], ids=["going-on", "from-nothing"])
def test_the_portable_step_and_its_gradients_equal_the_reference(before: bool) -> None:
    for op, inputs, sizes in cases(before):
        portable, reference = (_partial(op.load(tier), sizes) for tier in ("portable", "reference"))
        assert_agree(portable, reference, inputs, value=VALUE, gradient=GRADIENT)


def _partial(function: Callable[..., Any], sizes: Mapping[str, int]) -> Callable[..., Any]:
    return lambda **inputs: function(*inputs.values(), *sizes.values())


def test_a_step_leaves_every_input_as_it_was(native: None) -> None:
    for op, inputs, sizes in cases():
        copies = [None if tensor is None else tensor.clone() for tensor in inputs.values()]
        op(*inputs.values(), *sizes.values())
        for tensor, copy in zip(inputs.values(), copies, strict=True):
            torch.testing.assert_close(tensor, copy, rtol=0, atol=0)


def test_inputs_may_lie_in_memory_in_any_order(native: None) -> None:
    for op, inputs, sizes in cases():
        strided = [
            None if t is None else torch.stack([t, t], -1)[..., 0].movedim(0, -1).clone().movedim(-1, 0)
            for t in inputs.values()
        ]
        assert_near(op(*strided, *sizes.values()), exact(op, inputs, sizes))


def test_several_threads_give_the_same_rows(native: None) -> None:
    threads = torch.get_num_threads()
    inputs = list(mamba_inputs(9, 5, 7, 3, 2, 4).values())
    try:
        results = []
        for number in (1, 3):
            torch.set_num_threads(number)
            results.append(MAMBA.load("native")(*inputs))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_half_precision_rows_keep_their_dtype_and_a_state_in_single_precision(native: None) -> None:
    for op, inputs, sizes in cases():
        half = {name: None if tensor is None else tensor.bfloat16() for name, tensor in inputs.items()}
        for tier in ("native", "portable"):
            y, window, state = op.load(tier)(*half.values(), *sizes.values())
            assert (y.dtype, window.dtype, state.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
            assert_near((y, window, state), exact(op, half, sizes), limit=3e-2)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_row_that_is_not_finite_spoils_itself_alone(native: None, bad: float) -> None:
    inputs = mamba_inputs(9, 5, 7, 3, 2, 4)
    clean = MAMBA.load("native")(*inputs.values())
    u = inputs["u"].clone()
    u[2, 1] = bad
    spoilt = MAMBA.load("native")(*(inputs | {"u": u}).values())
    others = torch.arange(9) != 2
    assert not torch.isfinite(spoilt[0][2]).any()
    for one, other in zip(spoilt, clean, strict=True):
        assert torch.equal(one[others], other[others])


def test_extreme_step_sizes_neither_overflow_nor_vanish(level: None) -> None:
    for shift in (-80.0, -15.0, 15.0, 80.0):
        inputs = mamba_inputs(2, 5, 7, 3, 2, 4)
        inputs["dt_bias"] = inputs["dt_bias"] + shift
        assert_near(MAMBA.load("native")(*inputs.values()), exact(MAMBA, inputs, {}))


def test_a_call_that_needs_gradients_gets_them() -> None:
    inputs = mamba_inputs(2, 5, 7, 3, 2, 4)
    inputs["out_proj"].requires_grad_()
    y, _, _ = mamba_step(*inputs.values())
    assert torch.autograd.grad(y.sum(), inputs["out_proj"])[0].shape == inputs["out_proj"].shape


def test_mapping_over_slices_equals_a_batch() -> None:
    inputs = mamba_inputs(6, 5, 7, 3, 2, 4)
    u, window, state, *weights = inputs.values()
    mapped = torch.func.vmap(lambda u, w, s: mamba_step(u, w, s, *weights))(
        *(tensor.unflatten(0, (2, 3)) for tensor in (u, window, state))
    )
    assert_near(tuple(part.flatten(0, 1) for part in mapped), exact(MAMBA, inputs, {}))


def test_a_traced_call_is_left_to_operations_that_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fusing_problem(()) is None
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert fusing_problem(()) == "the fused step cannot be traced or mapped"


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("window", (2, 4, 7), r"mamba_step: window has shape \(2, 4, 7\), expected \(b, taps - 1, e\) = \(2, 3, 7\)"),
        ("state", (1, 7, 3), r"mamba_step: state has shape \(1, 7, 3\), expected \(b, e, n\) = \(2, 7, 3\)"),
        ("x_proj", (9, 7), r"mamba_step: x_proj has shape \(9, 7\), expected \(r \+ 2 n, e\) = \(8, 7\)"),
        ("u", (2, 5, 1), r"mamba_step: u has shape \(2, 5, 1\), expected 2 axes \(b d\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, shape: tuple[int, ...], message: str) -> None:
    inputs = mamba_inputs(2, 5, 7, 3, 2, 4) | {name: torch.zeros(shape)}
    with pytest.raises(ValueError, match=message):
        _unchecked(mamba_step)(*inputs.values())


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("window", (2, 3, 7), r"mamba2_step: window has shape \(2, 3, 7\), expected \(b, taps - 1, c\) = \(2, 3, 38\)"),
        ("A_log", (5,), "mamba2_step: heads = 5 does not divide inner channels = 18"),
        ("conv_weight", (37, 4), r"mamba2_step: 2 \* states = 10 does not divide channels of B and C = 19"),
        ("conv_weight", (58, 4), "mamba2_step: groups = 4 does not divide heads = 6"),
    ],
)
def test_sizes_that_do_not_fit_in_mamba2_are_refused(name: str, shape: tuple[int, ...], message: str) -> None:
    inputs = mamba2_inputs(2, 5, 6, 3, 5, 2, 4) | {name: torch.zeros(shape)}
    with pytest.raises(ValueError, match=message):
        _unchecked(mamba2_step)(*inputs.values(), 5)


def _unchecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without the shape checks that only tests have, so that the user's own error is seen."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def test_counted_cost_is_the_weights_and_the_state() -> None:
    assert mamba_step_cost(3, 4, 8, 2, 1, 4) == 3 * (16 * 4 + 5 * 8 + 8 + 4 * 8 + 8 * 4 + 8 * 9)
    assert mamba2_step_cost(3, 4, 2, 4, 3, 1, 4) == 3 * (4 * (8 + 14 + 2) + 8 * 4 + 14 * 4 + 8 * 10)


def test_counted_bytes_are_every_tensor_once() -> None:
    for op, count, shapes, make in (
        (mamba_step, mamba_step_bytes, MAMBA_SHAPES, mamba_inputs),
        (mamba2_step, mamba2_step_bytes, MAMBA2_SHAPES, mamba2_inputs),
    ):
        for shape in shapes:
            inputs = make(*shape)
            outputs = op(*inputs.values(), *([shape[4]] if op is mamba2_step else []))
            moved = sum(tensor.numel() for tensor in (*inputs.values(), *outputs))
            assert count(*shape) == 4 * moved


def test_a_convolution_without_taps_is_refused() -> None:
    inputs = mamba_inputs(2, 5, 7, 3, 2, 4) | {"window": None, "conv_weight": torch.zeros(7, 0)}
    with pytest.raises(ValueError, match=r"mamba_step: conv_weight has shape \(7, 0\), expected at least one tap\."):
        mamba_step(*inputs.values())
