"""Neighbourhood attention on the CPU, portable and native, against its float64 oracle; checks of the public call."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from armillary.core.ops import neighbourhood_attention, neighbourhood_bytes, neighbourhood_cost
from armillary.core.ops.library import library_problem
from armillary.core.ops.neighbourhood.op import check_neighbourhood
from armillary.core.ops.neighbourhood.reference import neighbours
from armillary.core.testing import assert_agree

VALUE, GRADIENT = 1e-6, 3e-6  # float32, relative RMS
HALF_VALUE, HALF_GRADIENT = 4e-3, 1e-2  # bfloat16, on the same rounded inputs
NATIVE = pytest.param("native", marks=pytest.mark.skipif(library_problem() is not None, reason=str(library_problem())))
TIERS = ["portable", NATIVE]


@dataclass(frozen=True)
class Case:
    """A grid and the neighbourhood on it."""

    grid: tuple[int, ...]
    window: tuple[int, ...]
    dilation: tuple[int, ...] = ()
    causal: tuple[bool, ...] = ()
    periodic: tuple[bool, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        rank = len(self.grid)
        flags = (self.causal or (False,) * rank, self.periodic or (False,) * rank)
        return dict(zip(("window", "dilation", "causal", "periodic"), self.positional(*flags), strict=True))

    def positional(self, *flags: tuple[bool, ...]) -> tuple[tuple[int, ...], ...]:
        return self.window, self.dilation or (1,) * len(self.grid), *flags


CASES = [
    Case((1,), (1,)),
    Case((11,), (4,), (2,)),
    Case((70,), (7,)),
    Case((13,), (5,), (2,), causal=(True,)),
    Case((13,), (4,), (3,), periodic=(True,)),  # one ring of all tokens: 3 does not divide 13
    Case((12,), (3,), (4,), periodic=(True,)),
    Case((9, 8), (3, 4), (2, 1), causal=(False, True), periodic=(True, False)),
    Case((7, 12), (3, 2), (1, 4)),
    Case((5, 6, 7), (3, 2, 3), (1, 2, 2), causal=(True, False, False), periodic=(False, True, False)),
]
ONE, TWO = CASES[1], CASES[6]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_equal_the_reference(case: Case, tier: str) -> None:
    agree(tier, case, random_inputs(case))
    agree(tier, case, random_inputs(case, heads=1, width=16, value_width=19, bias=False))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_masked_keys_and_shorter_rows_equal_the_reference(case: Case, tier: str, poisoned_memory: None) -> None:
    agree(tier, case, random_inputs(case) | {"mask": random_mask(case), "extents": shorter(case)})


@pytest.mark.parametrize("level", ["generic", "avx2", "avx512"])
@pytest.mark.parametrize("case", [ONE, TWO, CASES[-1]], ids=str)
def test_every_instruction_set_equals_the_reference(
    level: str, case: Case, native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = importlib.import_module("armillary.core.ops.library")
    if level not in library.LEVELS[: library.LEVELS.index(library.cpu_level()) + 1]:
        pytest.skip(f"this processor has no {level}")
    library.kernel.cache_clear()
    monkeypatch.setattr(library, "cpu_level", lambda: level)
    try:
        agree("native", case, random_inputs(case, width=35) | {"mask": random_mask(case)})
    finally:
        library.kernel.cache_clear()


@pytest.mark.parametrize(
    "case", [Case((70,), (2,)), Case((71,), (3,), periodic=(True,)), Case((66, 2), (5, 1))], ids=str
)
def test_one_head_is_cut_into_slabs_that_meet(case: Case, native: None) -> None:
    agree("native", case, random_inputs(case, batch=1, heads=1) | {"mask": random_mask(case, batch=1)})


def test_threads_do_not_change_a_bit(native: None) -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            inputs = {name: leaf(tensor) for name, tensor in random_inputs(CASES[2]).items()}
            out = run("native", CASES[2], **inputs)[0]
            out.backward(torch.ones_like(out))
            results.append([out, *(tensor.grad for tensor in inputs.values())])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, three) for one, three in zip(*results, strict=True))


@pytest.mark.parametrize("tier", TIERS)
def test_half_precision_inputs_accumulate_in_single_precision(tier: str) -> None:
    inputs = {name: tensor if tensor is None else tensor.bfloat16() for name, tensor in random_inputs(TWO).items()}
    assert run(tier, TWO, **inputs)[0].dtype == torch.bfloat16
    agree(tier, TWO, inputs, HALF_VALUE, HALF_GRADIENT)


def test_gradients_equal_finite_differences() -> None:
    inputs = {name: tensor.double() for name, tensor in random_inputs(TWO, batch=1, heads=1, width=2).items()}
    small = {name: leaf(tensor) for name, tensor in inputs.items()}

    def op(*tensors: Tensor) -> Tensor:
        return run("portable", TWO, **dict(zip(small, tensors, strict=True)), mask=random_mask(TWO, batch=1))[0]

    assert torch.autograd.gradcheck(op, tuple(small.values()), fast_mode=True)


def test_double_precision_is_kept() -> None:
    inputs = {name: tensor.double() for name, tensor in random_inputs(TWO).items()}
    agree("portable", TWO, inputs, 1e-14, 1e-13)


@pytest.mark.parametrize("tier", TIERS)
def test_a_query_without_keys_gives_zero_and_no_gradient(tier: str) -> None:
    inputs = {name: leaf(tensor) for name, tensor in random_inputs(ONE).items()}
    out = run(tier, ONE, **inputs, mask=torch.zeros(2, *ONE.grid, dtype=torch.bool))[0]
    out.sum().backward()
    assert not out.any()
    assert not any(tensor.grad.any() for tensor in inputs.values())


@pytest.mark.parametrize("tier", TIERS)
def test_what_hidden_tokens_hold_never_reaches_a_valid_one(tier: str) -> None:
    inputs = random_inputs(TWO) | {"mask": random_mask(TWO), "extents": shorter(TWO)}
    hidden = ~inputs["mask"]
    for axis, size in enumerate(TWO.grid):
        outside = torch.arange(size) >= inputs["extents"][:, axis, None]
        hidden = hidden | outside.reshape(2, *(size if axis == i else 1 for i in range(2)))
    results = []
    for filling in (0.0, torch.nan):
        leaves = {name: leaf(tensor) for name, tensor in inputs.items()}
        # The oracle of a hidden key is that its value does not matter; queries there may still be real.
        changed = {name: leaves[name].masked_fill(hidden[..., None, None], filling) for name in ("k", "v")}
        out = run(tier, TWO, **leaves | changed)[0]
        out.backward(torch.ones_like(out))
        results.append([out, *(leaves[name].grad for name in ("q", "k", "v", "bias"))])
    assert all(torch.equal(zero, nan) for zero, nan in zip(*results, strict=True))


@pytest.mark.parametrize("tier", TIERS)
def test_a_shorter_row_gives_what_it_gives_alone(tier: str) -> None:
    inputs, extents = random_inputs(TWO), torch.tensor([[8, 5], [9, 8]])
    out = run(tier, TWO, **inputs, extents=extents)[0]
    alone = {name: tensor if name == "bias" else tensor[:1, :8, :5] for name, tensor in inputs.items()}
    torch.testing.assert_close(out[:1, :8, :5], run(tier, TWO, **alone)[0])
    assert not out[0, 8:].any()
    assert not out[0, :, 5:].any()


@pytest.mark.parametrize("tier", TIERS)
def test_a_period_turns_with_its_tokens(tier: str) -> None:
    case = Case((9, 6), (3, 3), (2, 1), periodic=(True, False))
    inputs = random_inputs(case)
    turned = {name: tensor if name == "bias" else tensor.roll(4, dims=1) for name, tensor in inputs.items()}
    torch.testing.assert_close(run(tier, case, **turned)[0], run(tier, case, **inputs)[0].roll(4, dims=1))


@pytest.mark.parametrize("tier", TIERS)
def test_later_tokens_of_a_causal_axis_change_nothing(tier: str) -> None:
    case = Case((12,), (3,), (2,), causal=(True,))
    inputs = random_inputs(case)
    later = {name: inputs[name].clone() for name in ("k", "v")}
    for tensor in later.values():
        tensor[:, 7:] += 1
    torch.testing.assert_close(run(tier, case, **inputs | later)[0][:, :7], run(tier, case, **inputs)[0][:, :7])


@pytest.mark.parametrize("tier", TIERS)
def test_a_window_of_the_whole_axis_is_dense_attention(tier: str) -> None:
    case = Case((8,), (8,))
    inputs = random_inputs(case, bias=False)
    q, k, v = (inputs[name].transpose(1, 2) for name in ("q", "k", "v"))
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=SCALE).transpose(1, 2)
    torch.testing.assert_close(run(tier, case, **inputs)[0], dense)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", ["q", "k", "v"])
def test_what_is_not_finite_is_seen_in_the_result(name: str, tier: str) -> None:
    inputs = random_inputs(ONE)
    inputs[name][0, 5] = torch.nan
    out = run(tier, ONE, **inputs)[0]
    assert out[0, 5].isnan().all()
    assert out[1].isfinite().all()


@pytest.mark.parametrize("tier", TIERS)
def test_inputs_may_lie_in_memory_in_any_order_and_stay_as_they_were(tier: str) -> None:
    inputs = random_inputs(TWO) | {"mask": random_mask(TWO)}
    moved = {name: tensor.movedim(0, -1).contiguous().movedim(-1, 0) for name, tensor in inputs.items()}
    before = {name: tensor.clone() for name, tensor in moved.items()}
    agree(tier, TWO, moved)
    assert all(torch.equal(moved[name], before[name]) for name in moved)


@pytest.mark.parametrize("tier", TIERS)
def test_every_slice_under_vmap_is_a_call_by_itself(tier: str) -> None:
    inputs = random_inputs(TWO)
    q = torch.stack([inputs["q"], inputs["q"] * 2])
    out = torch.func.vmap(lambda one: run(tier, TWO, **inputs | {"q": one})[0])(q)
    torch.testing.assert_close(out[1], run(tier, TWO, **inputs | {"q": q[1]})[0])


@pytest.mark.parametrize("tier", TIERS)
def test_autocast_does_not_narrow_the_scores(tier: str) -> None:
    inputs = random_inputs(TWO)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = run(tier, TWO, **inputs)[0]
    assert torch.equal(out, run(tier, TWO, **inputs)[0])


def test_the_public_call_compiles_in_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the compiler cannot trace the checks
    inputs = {name: leaf(tensor) for name, tensor in random_inputs(ONE).items()}

    def call(**tensors: Tensor) -> Tensor:
        return neighbourhood_attention(**tensors, **ONE.settings)

    compiled = torch.compile(call, backend="aot_eager", fullgraph=True)(**inputs)
    compiled.sum().backward()
    torch.testing.assert_close(compiled, call(**inputs))
    assert inputs["bias"].grad is not None


@pytest.mark.parametrize("shape", [(0, 11, 2, 3), (2, 0, 2, 3)], ids=str)
def test_nothing_gives_nothing(shape: tuple[int, ...]) -> None:
    empty = torch.zeros(shape, requires_grad=True)
    out = neighbourhood_attention(empty, empty, empty, **ONE.settings)
    out.sum().backward()
    assert out.shape == shape


def test_memory_grows_with_the_tokens_and_not_with_their_square() -> None:
    kept = [_stored(length) for length in (256, 512, 1024)]
    assert kept[2] - kept[1] == pytest.approx(2 * (kept[1] - kept[0]), rel=0.1)


def test_windows_shift_inwards_at_a_border() -> None:
    assert list(neighbours(0, 10, 3, 1, causal=False, periodic=False)) == [0, 1, 2]
    assert list(neighbours(9, 10, 4, 2, causal=False, periodic=False)) == [3, 5, 7, 9]
    assert list(neighbours(5, 10, 4, 2, causal=False, periodic=False)) == [1, 3, 5, 7]


def test_causal_and_periodic_windows_by_hand() -> None:
    assert list(neighbours(5, 10, 3, 2, causal=True, periodic=False)) == [1, 3, 5]
    assert list(neighbours(1, 10, 3, 2, causal=True, periodic=False)) == [1]
    assert list(neighbours(1, 10, 3, 2, causal=False, periodic=True)) == [9, 1, 3]
    assert list(neighbours(1, 3, 7, 1, causal=False, periodic=True)) == [0, 1, 2]


def test_counted_cost_is_two_products_a_pair() -> None:
    assert neighbourhood_cost(2, (5, 6), 3, 4, (3, 5)) == 2 * 30 * 3 * 15 * 8
    assert neighbourhood_cost(1, (5,), 1, 4, (3,), value_width=2) == 5 * 3 * 6
    assert neighbourhood_bytes(2, (5, 6), 3, 4, itemsize=2) == 2 * 30 * 3 * 16 * 2


BAD = {
    "dilation": ({"dilation": (4,)}, "grid axis 0 has extent 11, less than window 4 times dilation 4;"),
    "no window": ({"window": (0,)}, "grid axis 0 has window 0 and dilation 2, expected both at least 1."),
    "both": ({"causal": (True,), "periodic": (True,)}, "grid axis 0 is both causal and periodic; a ring has no first"),
    "rank": ({"window": (3, 3)}, "window has 2 entries, expected one for each of 1 grid axes."),
    "q": ({"q": torch.zeros(2, 11, 3)}, r"q has shape \(2, 11, 3\), expected \(b, \*grid, h, e\) with a grid of rank"),
    "k": (
        {"k": torch.zeros(2, 10, 2, 3)},
        r"k has shape \(2, 10, 2, 3\), expected \(b, \*grid, h, e\) = \(2, 11, 2, 3\)",
    ),
    "bias": (
        {"bias": torch.zeros(2, 6)},
        r"bias has shape \(2, 6\), expected \(h, 2·window - 1 of each axis\) = \(2, 7\)",
    ),
    "mask": ({"mask": torch.ones(2, 9)}, r"mask has shape \(2, 9\), expected \(b, \*grid\) = \(2, 11\)"),
    "extents": ({"extents": torch.ones(2)}, r"extents has shape \(2,\), expected \(b, rank of the grid\) = \(2, 1\)"),
    "dtype": ({"v": torch.zeros(2, 11, 2, 3, dtype=torch.long)}, "v has dtype torch.int64, expected a real floating"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_by_name(case: str) -> None:
    changed, message = BAD[case]
    q = torch.zeros(2, 11, 2, 3)
    given = {"q": q, "k": q, "v": q, "bias": None, "mask": None, "extents": None} | ONE.settings | changed
    with pytest.raises(ValueError, match=f"^neighbourhood_attention: {message}"):
        check_neighbourhood(**given)


SCALE = 0.4


def run(tier: str, case: Case, **inputs: Tensor | None) -> tuple[Tensor]:
    """One tier, as a tuple of its one output."""
    names = ("q", "k", "v", "bias", "mask", "extents")
    return (function(tier)(*(inputs.get(name) for name in names), *case.settings.values(), SCALE),)


def function(tier: str) -> Callable[..., Tensor]:
    module = importlib.import_module(f"armillary.core.ops.neighbourhood.{tier}")
    return getattr(module, f"neighbourhood_attention_{tier}")


def agree(tier: str, case: Case, inputs: dict[str, Tensor], value: float = VALUE, gradient: float = GRADIENT) -> None:
    def op(name: str) -> Callable[..., tuple[Tensor]]:
        return lambda **tensors: run(name, case, **tensors)

    assert_agree(op(tier), op("reference"), inputs, value=value, gradient=gradient)


def random_inputs(
    case: Case, batch: int = 2, heads: int = 2, width: int = 5, value_width: int = 3, bias: bool = True
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(prod(case.grid))

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    rows = (batch, *case.grid, heads)
    inputs = {"q": normal(*rows, width), "k": normal(*rows, width), "v": normal(*rows, value_width)}
    return inputs | ({"bias": normal(heads, *(2 * K - 1 for K in case.window))} if bias else {})


def random_mask(case: Case, batch: int = 2) -> Tensor:
    return torch.rand(batch, *case.grid, generator=torch.Generator().manual_seed(1)) > 0.3


def shorter(case: Case) -> Tensor:
    """One row of the whole grid, and one with a corner so small that windows shrink."""
    return torch.tensor([case.grid, [max(1, extent - 4) for extent in case.grid]], dtype=torch.int32)


def leaf(tensor: Tensor | None) -> Tensor | None:
    return tensor.clone().requires_grad_() if tensor is not None and tensor.is_floating_point() else tensor


def _stored(length: int) -> int:
    """Numbers that autograd keeps between forward and backward."""
    case, kept = Case((length,), (7,)), {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run("portable", case, **{name: leaf(tensor) for name, tensor in random_inputs(case).items()})
    return sum(kept.values())
