"""Properties of the ops over random shapes, options, layouts and dtypes, for every tier that a CPU has."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import jaxtyping
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from armillary.core.ops.dispatch import Op
from armillary.core.ops.library import library_problem
from armillary.core.ops.table import OPS
from armillary.core.testing.ops import values_and_gradients

Inputs = dict[str, Tensor | None]
LIMITS = {torch.float32: 2e-5, torch.bfloat16: 6e-2, torch.float16: 1e-2}  # of the largest number, or of 1
FIXED = ("A", "D", "weight", "bias", "numerator", "denominator", "out_proj", "conv_bias")  # without a batch axis
NATIVE = [] if library_problem() else ["native"]
few = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def _without_shape_checks() -> Iterator[None]:
    """They take most of the time of so small a call."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@dataclass(frozen=True)
class Call:
    """An op, its tensors, what it takes by name after them, and hints, which the reference does not take."""

    op: Op
    inputs: Inputs
    options: dict[str, Any] = field(default_factory=dict)
    hints: dict[str, Any] = field(default_factory=dict)

    def by(self, tier: str) -> Callable[..., tuple[Tensor, ...]]:
        named = self.options if tier == "reference" else self.options | self.hints

        def run(**inputs: Tensor | None) -> tuple[Tensor, ...]:
            result = self.op.load(tier)(**inputs, **named)
            return result if isinstance(result, tuple) else (result,)

        return run

    def results(self, tier: str) -> dict[str, Tensor]:
        """Outputs and the gradient of every input, for random gradients of the outputs."""
        inputs = {name: wide(value) for name, value in self.inputs.items()} if tier == "reference" else self.inputs
        return values_and_gradients(self.by(tier), inputs, 0)

    def changed(self, change: Callable[[str, Tensor], Tensor]) -> "Call":
        """The same call of other tensors."""
        inputs = {name: value if value is None else change(name, value) for name, value in self.inputs.items()}
        return replace(self, inputs=inputs)


def wide(tensor: Tensor | None) -> Tensor | None:
    return tensor if tensor is None or not tensor.is_floating_point() else tensor.double()


def assert_near(actual: dict[str, Tensor], expected: dict[str, Tensor], limit: float) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        if value.numel():
            error = (actual[name].double() - value.double()).abs().max() / value.double().abs().max().clamp(min=1)
            assert error <= limit, f"{name}: {error:.1e}"


class Draws:
    """Random sizes, choices and tensors of one example."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def size(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def one(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def perhaps(self, tensor: Tensor) -> Tensor | None:
        return self.one(tensor, None)

    def order(self, length: int) -> Tensor:
        return torch.randperm(length, generator=self.generator)


def scan(some: Draws) -> Call:
    batch, length, states = some.size(1, 3), some.size(0, 19), some.size(1, 5)
    groups = some.one(1, 2, 3)
    width = groups * some.one(1, 3, 4, 9, 17)
    inputs = {
        "x": some.normal(batch, length, width),
        "dt": some.normal(batch, length, width).exp() / 4,
        "A": -some.normal(width, states).exp(),
        "B": some.normal(batch, length, groups, states),
        "C": some.normal(batch, length, groups, states),
        "D": some.perhaps(some.normal(width)),
        "z": some.perhaps(some.normal(batch, length, width)),
        "initial_state": some.perhaps(some.normal(batch, width, states)),
    }
    options = {"path": some.perhaps(some.order(length)), "reverse": some.one(False, True)}
    return Call(OPS["selective_scan"], inputs, options, {"chunk": some.one(None, 1, 3, 16)})


def decay(some: Draws) -> Call:
    batch, length, states, width = some.size(1, 3), some.size(0, 19), some.size(1, 4), some.size(1, 4)
    groups = some.one(1, 2)
    heads = groups * some.size(1, 3)
    inputs = {
        "x": some.normal(batch, length, heads, width),
        "log_decay": -some.normal(batch, length, heads).exp() / 4,
        "B": some.normal(batch, length, groups, states),
        "C": some.normal(batch, length, groups, states),
        "initial_state": some.perhaps(some.normal(batch, heads, width, states)),
    }
    options = {"segments": some.perhaps((some.normal(batch, length) > 0.5).long().cumsum(1))}
    return Call(OPS["scalar_decay"], inputs, options, {"chunk": some.one(None, 1, 3, 16)})


def convolution(some: Draws) -> Call:
    batch, length, channels, taps = some.size(1, 3), some.size(0, 9), some.one(1, 3, 4, 17), some.size(1, 5)
    inputs = {
        "x": some.normal(batch, length, channels),
        "weight": some.normal(channels, taps),
        "bias": some.perhaps(some.normal(channels)),
        "history": some.perhaps(some.normal(batch, taps - 1, channels)),
    }
    runs = some.perhaps((some.normal(batch, length) > 0.5).long().cumsum(1))
    return Call(OPS["causal_conv"], inputs, {"runs": runs, "silu": some.one(False, True)})


def depthwise(some: Draws) -> Call:
    batch, length, channels, taps = some.size(1, 3), some.size(0, 19), some.one(1, 3, 4, 17), some.size(1, 11)
    inputs = {"x": some.normal(batch, length, channels), "weight": some.normal(channels, taps)}
    options = {"ahead": some.size(0, taps - 1), "dilation": some.size(1, 3), "silu": some.one(False, True)}
    return Call(OPS["depthwise_conv"], inputs, options)


def attention(some: Draws) -> Call:
    batch, heads, inner, outer = some.size(1, 2), some.size(1, 3), some.one(1, 3, 8), some.one(1, 3, 17)
    kinds = [(some.size(1, 4), some.size(1, 2), some.one("plain", "causal", "periodic")) for _ in range(some.one(1, 2))]
    grid = [window * dilation + some.size(0, 5) for window, dilation, _ in kinds]
    inputs = {
        "q": some.normal(batch, *grid, heads, inner),
        "k": some.normal(batch, *grid, heads, inner),
        "v": some.normal(batch, *grid, heads, outer),
        "bias": some.perhaps(some.normal(heads, *(2 * window - 1 for window, _, _ in kinds))),
    }
    extents = torch.tensor([[some.size(1, extent) for extent in grid] for _ in range(batch)])
    options = {
        "mask": some.perhaps(some.normal(batch, *grid) > -0.5),
        "extents": some.perhaps(extents),
        "window": tuple(window for window, _, _ in kinds),
        "dilation": tuple(dilation for _, dilation, _ in kinds),
        "causal": tuple(kind == "causal" for _, _, kind in kinds),
        "periodic": tuple(kind == "periodic" for _, _, kind in kinds),
        "scale": 0.7,
    }
    return Call(OPS["neighbourhood_attention"], inputs, options)


def quotient(some: Draws) -> Call:
    groups = some.one(1, 2, 5)
    x = some.normal(some.size(1, 3), some.size(0, 5), groups * some.one(1, 3, 4, 9, 17))
    numerator = some.normal(some.one(1, groups), 6)
    inputs = {"x": x, "numerator": numerator, "denominator": some.normal(groups, 4)}
    return Call(OPS["rational"], inputs, {"form": some.one("A", "B")})


def polynomial(name: str) -> Callable[[Draws], Call]:
    def build(some: Draws) -> Call:
        x = some.normal(
            some.size(1, 3), some.size(0, 5), some.one(3, 4, 9, 17, 33)
        )  # over one channel the gradient of polynorm cancels
        return Call(OPS[name], {"x": x, "weight": some.normal(3), "bias": some.normal()})

    return build


BUILDERS: dict[str, Callable[[Draws], Call]] = {
    "selective_scan": scan,
    "scalar_decay": decay,
    "causal_conv": convolution,
    "depthwise_conv": depthwise,
    "neighbourhood_attention": attention,
    "rational": quotient,
    "polynorm": polynomial("polynorm"),
    "polyrelu": polynomial("polyrelu"),
}
TIERS = [(name, tier) for name in BUILDERS for tier in ("portable", *NATIVE) if tier in OPS[name].tiers]
every_tier = pytest.mark.parametrize(("name", "tier"), TIERS)


@st.composite
def calls(draw: Callable[..., Any], name: str) -> Call:
    return BUILDERS[name](Draws(draw))


def laid_out(value: Tensor, how: str) -> Tensor:
    """The same numbers elsewhere in memory."""
    if how == "turned" and value.ndim > 1:
        return value.movedim(0, -1).contiguous().movedim(-1, 0)
    if how == "sparse" and value.ndim > 0:
        return torch.stack([value, torch.full_like(value, torch.nan)], -1)[..., 0]
    if how == "offset" and value.ndim > 0:
        return torch.cat([torch.full_like(value, torch.nan), value], -1)[..., value.shape[-1] :]
    return value


@every_tier
@given(data=st.data())
@few
def test_every_tier_equals_the_reference_in_any_layout_and_precision(name: str, tier: str, data: st.DataObject) -> None:
    call, dtype = data.draw(calls(name)), data.draw(st.sampled_from(list(LIMITS)))
    layouts = st.sampled_from(["plain", "turned", "sparse", "offset"])
    call = call.changed(lambda _, value: laid_out(value.to(dtype), data.draw(layouts)))
    assert_near(call.results(tier), call.results("reference"), LIMITS[dtype])


@every_tier
@given(data=st.data())
@few
def test_rows_of_the_batch_do_not_see_each_other(name: str, tier: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    bad = data.draw(st.sampled_from([torch.nan, torch.inf, -torch.inf]))
    clean = call.results(tier)

    def spoil(argument: str, value: Tensor) -> Tensor:
        return value if argument in FIXED else torch.cat([torch.full_like(value[:1], bad), value[1:]])

    for key, value in call.changed(spoil).results(tier).items():
        if key.removeprefix("gradient ") not in FIXED:
            torch.testing.assert_close(value[1:], clean[key][1:], rtol=1e-6, atol=1e-6)


@every_tier
@given(data=st.data())
@few
def test_permuting_the_rows_of_the_batch_permutes_the_results(name: str, tier: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    rows = next(value for value in call.inputs.values() if value is not None).shape[0]
    order = torch.tensor(data.draw(st.permutations(range(rows))))
    options = {key: value[order] if key in ("segments", "runs", "mask", "extents") and value is not None else value
               for key, value in call.options.items()}  # fmt: skip
    turned = replace(call.changed(lambda key, value: value if key in FIXED else value[order]), options=options)
    actual, expected = turned.by(tier)(**turned.inputs), call.by(tier)(**call.inputs)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other[order], rtol=1e-6, atol=1e-6)


def parts(call: Call, cut: int, names: tuple[str, ...]) -> Iterator[Call]:
    """The call before and after a token, in the arguments that have a length."""
    for where in (slice(cut), slice(cut, None)):
        options = {
            key: value[:, where] if key in ("segments", "runs") and value is not None else value
            for key, value in call.options.items()
        }
        inner = call.changed(lambda key, value, where=where: value[:, where] if key in names else value)
        yield replace(inner, options=options)


@pytest.mark.parametrize(("name", "tier"), [pair for pair in TIERS if pair[0] in ("selective_scan", "scalar_decay")])
@given(data=st.data())
@few
def test_a_recurrence_goes_on_from_its_state(name: str, tier: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    length = call.inputs["x"].shape[1]
    cut = data.draw(st.integers(0, length))
    if name == "selective_scan":
        call = replace(call, options={"path": None, "reverse": False})
    elif call.options["segments"] is not None:
        segments = call.options["segments"]
        # The state belongs to the first segment of what follows, so a cut may not fall between two.
        assume(cut in (0, length) or bool((segments[:, cut] == segments[:, cut - 1]).all()))
    names = ("x", "dt", "B", "C", "z", "log_decay")
    first, second = parts(call, cut, names)

    def in_turn(**inputs: Tensor | None) -> tuple[Tensor, ...]:
        before = {key: value[:, :cut] if key in names and value is not None else value for key, value in inputs.items()}
        after = {key: value[:, cut:] if key in names and value is not None else value for key, value in inputs.items()}
        y, state = first.by(tier)(**before)
        z, last = second.by(tier)(**after | {"initial_state": state})
        return torch.cat([y, z], 1), last

    assert_near(values_and_gradients(in_turn, call.inputs, 0), call.results(tier), 2e-5)


@pytest.mark.parametrize("tier", [tier for name, tier in TIERS if name == "causal_conv"])
@given(data=st.data())
@few
def test_a_convolution_goes_on_from_its_history(tier: str, data: st.DataObject) -> None:
    call = data.draw(calls("causal_conv"))
    x, history = call.inputs["x"], call.inputs["history"]
    cut, reach = data.draw(st.integers(0, x.shape[1])), call.inputs["weight"].shape[1] - 1
    call = replace(call, options=call.options | {"runs": None})
    first, second = parts(call, cut, ("x",))
    history = torch.zeros(x.shape[0], reach, x.shape[2]) if history is None else history
    seen = torch.cat([history, x[:, :cut]], 1)
    second = replace(second, inputs=second.inputs | {"history": seen[:, seen.shape[1] - reach :]})
    found = torch.cat([first.by(tier)(**first.inputs)[0], second.by(tier)(**second.inputs)[0]], 1)
    torch.testing.assert_close(found, call.by(tier)(**call.inputs)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tier", [tier for name, tier in TIERS if name == "selective_scan"])
@given(data=st.data())
@few
def test_backwards_along_a_backward_path_is_forwards(tier: str, data: st.DataObject) -> None:
    call = data.draw(calls("selective_scan"))
    path, length = call.options["path"], call.inputs["x"].shape[1]
    path = torch.arange(length) if path is None else path
    turned = replace(call, options={"path": path.flip(0), "reverse": not call.options["reverse"]})
    assert_near(turned.results(tier), call.results(tier), 2e-5)


@pytest.mark.parametrize("tier", [tier for name, tier in TIERS if name == "selective_scan"])
@pytest.mark.parametrize("size", [1e18, 1.0, 1e-42])
def test_extreme_steps_rates_and_inputs_of_a_scan_equal_the_reference(tier: str, size: float) -> None:
    for step, rate in product([0.0, 1e-42, 1e-3, 80.0], [-1e4, -1.0, -1e-42, 0.0]):
        _check_extreme_scan(tier, size, step, rate)


def _check_extreme_scan(tier: str, size: float, step: float, rate: float) -> None:
    some = Draws(lambda strategy: 3)
    inputs = {
        "x": some.normal(2, 9, 3) * size,
        "dt": torch.full((2, 9, 3), step),
        "A": torch.full((3, 2), rate),
        "B": some.normal(2, 9, 1, 2),
        "C": some.normal(2, 9, 1, 2),
        "z": some.normal(2, 9, 3) * 40,
    }
    call = Call(OPS["selective_scan"], inputs, {}, {"chunk": 4})
    actual, expected = call.results(tier), call.results("reference")
    for name, value in expected.items():
        # Numbers below the smallest normal one have fewer digits.
        torch.testing.assert_close(
            actual[name].double(), value, rtol=3e-5, atol=1e-6 * float(value.abs().max()) + 3e-42
        )


NAMES = {"rational": ("x", "numerator", "denominator")} | dict.fromkeys(
    ("polynorm", "polyrelu"), ("x", "weight", "bias")
)


@pytest.mark.parametrize(("name", "tier"), [pair for pair in TIERS if pair[0] in NAMES])
@pytest.mark.parametrize("size", [1e-42, 1e-20, 1e3, 1e5])
def test_activations_of_tiny_and_large_numbers_equal_the_reference(name: str, tier: str, size: float) -> None:
    some = Draws(lambda strategy: 3)
    x, coefficients = some.normal(2, 3, 12) * size, [some.normal(2, 6), some.normal(2, 4)]
    if name != "rational":
        coefficients = [some.normal(3), some.normal()]
    call = Call(OPS[name], dict(zip(NAMES[name], (x, *coefficients), strict=True)))
    actual, expected = call.results(tier), call.results("reference")
    for key, value in expected.items():
        torch.testing.assert_close(actual[key].double(), value, rtol=3e-5, atol=1e-5 * float(value.abs().max()) + 3e-42)
