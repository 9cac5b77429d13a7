"""What every op promises alike: what it refuses, and what never changes its values and gradients."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from armillary.core.ops import (
    causal_conv,
    depthwise_conv,
    mamba2_step,
    mamba_step,
    neighbourhood_attention,
    polynorm,
    polyrelu,
    rational,
    scalar_decay,
    selective_scan,
)
from armillary.core.ops.dispatch import OVERRIDE
from armillary.core.testing import relative_rms

Inputs = dict[str, Tensor]
pytestmark = pytest.mark.filterwarnings("ignore::armillary.core.ops.dispatch.SlowOpWarning")
WINDOW = {"window": (3,), "dilation": (1,), "causal": (False,), "periodic": (False,)}


@dataclass(frozen=True)
class Case:
    """An op, the shapes of its tensors, and what of these is free."""

    name: str
    public: Callable[..., Any]
    shapes: dict[str, tuple[int, ...]]
    free: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()  # whose last axis may be of any size
    fixed: tuple[str, ...] = ()  # without a batch axis

    def inputs(self, seed: int = 0) -> Inputs:
        """Random tensors; step sizes are positive, decays negative."""
        generator = torch.Generator().manual_seed(seed)
        found = {name: torch.randn(shape, generator=generator) for name, shape in self.shapes.items()}
        signs = {"dt": 1.0, "A": -1.0, "log_decay": -1.0}
        return {name: signs[name] * value.abs() if name in signs else value for name, value in found.items()}

    def run(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """The outputs of the public function."""
        result = self.public(**inputs)
        return result if isinstance(result, tuple) else (result,)


CASES = [
    Case(
        "selective_scan",
        selective_scan,
        {"x": (2, 5, 4), "dt": (2, 5, 4), "A": (4, 3), "B": (2, 5, 2, 3), "C": (2, 5, 2, 3)}
        | {"D": (4,), "z": (2, 5, 4), "initial_state": (2, 4, 3)},
        fixed=("A", "D"),
    ),
    Case(
        "scalar_decay",
        scalar_decay,
        {
            "x": (2, 5, 2, 3),
            "log_decay": (2, 5, 2),
            "B": (2, 5, 1, 3),
            "C": (2, 5, 1, 3),
            "initial_state": (2, 2, 3, 3),
        },
    ),
    Case(
        "causal_conv",
        causal_conv,
        {"x": (2, 5, 4), "weight": (4, 3), "bias": (4,), "history": (2, 2, 4)},
        fixed=("weight", "bias"),
    ),
    Case(
        "depthwise_conv",
        partial(depthwise_conv, ahead=1, dilation=2, silu=True),
        {"x": (2, 5, 4), "weight": (4, 3)},
        wide=("weight",),
        fixed=("weight",),
    ),
    Case(
        "neighbourhood_attention",
        partial(neighbourhood_attention, **WINDOW),
        {"q": (2, 5, 2, 3), "k": (2, 5, 2, 3), "v": (2, 5, 2, 3), "bias": (2, 5)},
        wide=("v",),
        fixed=("bias",),
    ),
    Case(
        "rational",
        rational,
        {"x": (2, 5, 4), "numerator": (2, 6), "denominator": (2, 4)},
        free=("x",),
        fixed=("numerator", "denominator"),
    ),
    Case("polynorm", polynorm, {"x": (2, 5, 4), "weight": (3,), "bias": ()}, free=("x",), fixed=("weight", "bias")),
    Case("polyrelu", polyrelu, {"x": (2, 5, 4), "weight": (3,), "bias": ()}, free=("x",), fixed=("weight", "bias")),
    Case(
        "mamba_step",
        mamba_step,
        {"u": (2, 3), "window": (2, 3, 6), "state": (2, 6, 4), "in_proj": (12, 3), "conv_weight": (6, 4)}
        | {"conv_bias": (6,), "x_proj": (10, 6), "dt_proj": (6, 2), "dt_bias": (6,), "A_log": (6, 4), "D": (6,)}
        | {"out_proj": (3, 6)},
        fixed=("in_proj", "conv_weight", "conv_bias", "x_proj", "dt_proj", "dt_bias", "A_log", "D", "out_proj"),
    ),
    Case(
        "mamba2_step",
        partial(mamba2_step, states=3),
        {"u": (2, 3), "window": (2, 3, 12), "state": (2, 2, 3, 3), "in_proj": (20, 3), "conv_weight": (12, 4)}
        | {"conv_bias": (12,), "dt_bias": (2,), "A_log": (2,), "D": (2,), "norm_weight": (6,), "out_proj": (3, 6)},
        fixed=("in_proj", "conv_weight", "conv_bias", "dt_bias", "A_log", "D", "norm_weight", "out_proj"),
    ),
]
STEPS = ("mamba_step", "mamba2_step")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _checks_of_the_ops_alone() -> Iterator[None]:
    """The shape checks of the tests would speak before those of the ops, and take most of the time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(params=["portable", "native"])
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every op in its portable tier, or as it comes with the native library."""
    if request.param == "native":
        request.getfixturevalue("native")
    else:
        monkeypatch.setenv(OVERRIDE, request.param)
    return request.param


def gradients(case: Case, inputs: Inputs, wanted: tuple[str, ...] | None = None) -> dict[str, Tensor | None]:
    """Of a weighted sum of all outputs, for the wanted inputs alone."""
    leaves = {name: value.detach().requires_grad_(wanted is None or name in wanted) for name, value in inputs.items()}
    weighted_sum(case.run(leaves)).backward()
    return {name: leaf.grad for name, leaf in leaves.items()}


def weighted_sum(outputs: tuple[Tensor, ...]) -> Tensor:
    return torch.stack(
        [(y.double() * torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view(y.shape)).sum() for y in outputs]
    ).sum()


def assert_same(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def refusal(case: Case, change: Inputs) -> str:
    """The one sentence with which an op refuses its inputs."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        case.run(case.inputs() | change)
    message = str(raised.value)
    assert message.startswith(f"{case.name}: ")
    assert message.endswith(".")
    assert "\n" not in message
    return message


@every_case
def test_another_number_of_axes_is_refused(case: Case) -> None:
    for name, value in case.inputs().items():
        if name not in case.free:
            refusal(case, {name: value[None]})


@every_case
def test_another_size_is_refused(case: Case) -> None:
    for name, shape in case.shapes.items():
        if shape and name not in (*case.free, *case.wide):
            refusal(case, {name: torch.zeros(*shape[:-1], shape[-1] + 1)})


@every_case
@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
def test_what_is_not_real_is_refused(case: Case, dtype: torch.dtype) -> None:
    for name, shape in case.shapes.items():
        assert f"{name} has dtype {dtype}" in refusal(case, {name: torch.ones(shape, dtype=dtype)})


@every_case
def test_a_tensor_on_another_device_is_refused(case: Case) -> None:
    for name, shape in case.shapes.items():
        assert "lies on" in refusal(case, {name: torch.zeros(shape, device="meta")})


@every_case
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own use of it
def test_a_tangent_is_refused_and_not_dropped(case: Case) -> None:
    for name, value in case.inputs().items():
        with forward_ad.dual_level():
            told = refusal(case, {name: forward_ad.make_dual(value, torch.ones_like(value))})
        assert f"{name} has a tangent" in told


@every_case
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_first_argument_alone_sets_the_precision(case: Case, dtype: torch.dtype, tier: str) -> None:
    first, *_ = inputs = case.inputs()
    for name, value in inputs.items():
        changed = inputs | {name: value.to(dtype)}
        outputs, expected = case.run(changed), case.run(changed | {name: changed[name].float()})
        assert outputs[0].dtype == changed[first].dtype, name
        limit = 3e-2 if outputs[0].dtype == torch.bfloat16 else 1e-6
        assert all(relative_rms(*pair) < limit for pair in zip(outputs, expected, strict=True)), name


@every_case
def test_a_gradient_does_not_depend_on_who_else_asks_for_one(case: Case, tier: str) -> None:
    together = gradients(case, case.inputs())
    for name in case.shapes:
        alone = gradients(case, case.inputs(), (name,))
        assert [other for other, value in alone.items() if value is not None] == [name]
        torch.testing.assert_close(alone[name], together[name], rtol=1e-6, atol=1e-6)


@every_case
def test_no_rows_give_no_rows_and_gradients_of_zero(case: Case, tier: str) -> None:
    inputs = {name: value if name in case.fixed else value[:0] for name, value in case.inputs().items()}
    for empty, full in zip(case.run(inputs), case.run(case.inputs()), strict=True):
        assert empty.shape == (0, *full.shape[1:])
        assert empty.dtype == full.dtype
    for name, value in gradients(case, inputs).items():
        assert value is None or torch.equal(value, torch.zeros_like(inputs[name])), name


@every_case
def test_an_input_spread_over_the_batch_without_memory_of_its_own_is_read_as_if_it_had(case: Case, tier: str) -> None:
    inputs = case.inputs()
    spread = {name: value if name in case.fixed else value[:1].expand_as(value) for name, value in inputs.items()}
    plain = {name: value.clone(memory_format=torch.contiguous_format) for name, value in spread.items()}
    assert_same(case.run(spread), case.run(plain))
    for name, value in gradients(case, spread).items():
        torch.testing.assert_close(value, gradients(case, plain)[name], rtol=0, atol=0)


@every_case
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_values_are_the_same(
    case: Case, mode: Callable[[], AbstractContextManager[None]], tier: str
) -> None:
    leaves = {name: value.requires_grad_() for name, value in case.inputs().items()}
    with mode():
        outputs = case.run(leaves)
    exact = 0 if tier == "portable" or case.name not in STEPS else 1e-5  # a step that needs gradients is portable
    for one, other in zip(outputs, case.run(leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=exact, atol=exact)


@every_case
def test_autocast_leaves_the_dtype_of_single_precision_inputs(case: Case, tier: str) -> None:
    expected = case.run(case.inputs())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = case.run(case.inputs())
    assert [y.dtype for y in outputs] == [torch.float32] * len(outputs)
    for one, other in zip(outputs, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=3e-2, atol=3e-2)


@every_case
def test_a_second_derivative_is_right_or_refused(case: Case, tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(inputs: Inputs) -> Tensor:
        first, *_ = inputs
        leaves = {name: value.clone().requires_grad_(name == first) for name, value in inputs.items()}
        (slope,) = torch.autograd.grad(weighted_sum(case.run(leaves)).square(), leaves[first], create_graph=True)
        slope.square().sum().backward()
        found = leaves[first].grad
        assert found is not None
        return found

    if case.name in STEPS or (case.name, tier) == ("neighbourhood_attention", "portable"):  # plain torch
        found = second(case.inputs())
        monkeypatch.setenv(OVERRIDE, "reference")
        torch.testing.assert_close(found, second(case.inputs()), rtol=1e-4, atol=1e-4)
        return
    with pytest.raises(RuntimeError, match=r"once differentiable|differentiate twice"):
        second(case.inputs())


@every_case
def test_checkpointing_changes_no_gradient(case: Case, tier: str) -> None:
    def kept(inputs: Inputs) -> tuple[Tensor, ...]:
        return checkpoint(case.run, inputs, use_reentrant=False)

    leaves = {name: value.requires_grad_() for name, value in case.inputs().items()}
    weighted_sum(kept(leaves)).backward()
    for name, value in gradients(case, case.inputs()).items():
        torch.testing.assert_close(leaves[name].grad, value, rtol=0, atol=0)


@every_case
def test_two_python_threads_do_not_disturb_each_other(case: Case, tier: str) -> None:
    seeds = range(4)
    expected = [gradients(case, case.inputs(seed)) for seed in seeds]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda seed: gradients(case, case.inputs(seed)), seeds))
    for one, other in zip(found, expected, strict=True):
        for name, value in other.items():
            torch.testing.assert_close(one[name], value, rtol=0, atol=0)


@contextmanager
def defaults(what: str) -> Iterator[None]:
    """Tensors that say neither dtype nor device are not float32 on the CPU."""
    if what == "meta":
        with torch.device(what):
            yield
        return
    torch.set_default_dtype(getattr(torch, what))
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@every_case
@pytest.mark.parametrize("what", ["float64", "float16", "meta"])
def test_the_defaults_of_torch_do_not_matter(case: Case, what: str, tier: str) -> None:
    def results(leaves: Inputs, context: AbstractContextManager[None]) -> tuple[Tensor, ...]:
        upstream = [torch.ones_like(y) for y in case.run(leaves)]
        with context:
            without_gradients = case.run({name: leaf.detach() for name, leaf in leaves.items()})
            outputs = case.run(leaves)
            slopes = torch.autograd.grad(outputs, tuple(leaves.values()), upstream)
        return (*without_gradients, *outputs, *slopes)

    leaves = {name: value.requires_grad_() for name, value in case.inputs().items()}
    assert_same(results(leaves, defaults(what)), results(leaves, nullcontext()))


@every_case
@pytest.mark.parametrize("size", [0, 3])
def test_vmap_over_any_axis_gives_what_a_loop_gives(case: Case, size: int, tier: str) -> None:
    if size == 0 and (case.name, tier) == ("scalar_decay", "portable"):
        pytest.skip("its rule joins the axis with the batch, and cannot take apart what is empty")
    if size == 0 and (case.name, tier) == ("depthwise_conv", "portable"):
        pytest.skip("torch has no convolution of no channels, to which an empty axis of the weights comes")
    seeds = [case.inputs(seed) for seed in range(3)]
    stacked = {
        name: torch.stack([one[name] for one in seeds], 1)[:, :size] for name, shape in case.shapes.items() if shape
    }
    alone = {name: value for name, value in case.inputs().items() if name not in stacked}

    def one(changed: Inputs) -> tuple[Tensor, ...]:
        return case.run(alone | changed)

    mapped = torch.func.vmap(one, in_dims=1)(stacked)
    assert all(y.shape[0] == size for y in mapped)
    for index in range(size):
        expected = one({name: value.select(1, index) for name, value in stacked.items()})
        for found, y in zip(mapped, expected, strict=True):
            torch.testing.assert_close(found[index], y, rtol=1e-5, atol=1e-5)


@every_case
@pytest.mark.parametrize("turned", [False, True])
def test_a_trace_sees_the_shapes_dtypes_and_strides_of_a_real_call(case: Case, turned: bool, tier: str) -> None:
    def steps(value: Tensor) -> list[int]:
        return [step for size, step in zip(value.shape, value.stride(), strict=True) if size > 1]

    def told(inputs: Inputs) -> list[tuple[torch.Size, torch.dtype, list[int]]]:
        leaves = tuple(value.requires_grad_() for value in inputs.values())
        outputs = case.run(inputs)
        slopes = torch.autograd.grad(outputs, leaves, [torch.ones_like(y) for y in outputs])
        return [(value.shape, value.dtype, steps(value)) for value in (*outputs, *slopes)]

    inputs = case.inputs()
    if turned:
        inputs = {name: x.movedim(0, -1).contiguous().movedim(-1, 0) if x.ndim else x for name, x in inputs.items()}
    with FakeTensorMode() as mode:
        traced = told({name: mode.from_tensor(value) for name, value in inputs.items()})
    assert traced == told(inputs)
