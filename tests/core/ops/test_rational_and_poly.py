"""What the rational activation, PolyNorm and PolyReLU share: every tier against the oracle, and the contract."""

import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass

import jaxtyping
import pytest
import torch
from torch import Tensor

from armillary.core.ops import library
from armillary.core.ops.polynorm import polynorm, polynorm_bytes, polynorm_cost
from armillary.core.ops.polyrelu import polyrelu, polyrelu_bytes, polyrelu_cost
from armillary.core.ops.rational import rational, rational_bytes, rational_cost
from armillary.core.testing.ops import assert_agree

VALUE, GRADIENT, SUM = 1e-6, 3e-6, 1e-5  # float32, relative RMS; SUM for gradients summed over all numbers
HALF_VALUE, HALF_GRADIENT = 4e-3, 1e-2  # bfloat16, on the same rounded inputs

# shape of x, groups: narrow groups (lanes across them), wide ones, whole and broken vectors, several blocks of rows
SHAPES = [((2, 3, 24), 8), ((5, 74), 2), ((37, 64), 2), ((150, 6), 3), ((1, 3), 1), ((16,), 2), ((1, 1, 257), 1)]
EMPTY = [((0, 8), 2), ((2, 0, 8), 2), ((0,), 1)]


@dataclass(frozen=True)
class Case:
    """An op, the settings after its tensors, and how many groups its coefficients have."""

    name: str
    public: Callable[..., Tensor]
    options: tuple[str, ...] = ()
    shared: bool = False

    def tier(self, tier: str) -> Callable[..., tuple[Tensor]]:
        module = importlib.import_module(f"armillary.core.ops.{self.name}.{tier}")
        function = getattr(module, f"{self.name}_{tier}")
        return lambda **inputs: (function(*inputs.values(), *self.options),)

    def call(self, inputs: dict[str, Tensor]) -> Tensor:
        """By the public function."""
        return self.public(*inputs.values(), **({"form": self.options[0]} if self.options else {}))

    def inputs(self, shape: tuple[int, ...], groups: int = 2, seed: int = 0) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)

        def normal(*size: int) -> Tensor:
            return torch.randn(size, generator=generator)

        if self.name != "rational":
            return {"x": normal(*shape), "weight": normal(3), "bias": normal()}
        numerator = normal(1 if self.shared else groups, 6)
        return {"x": normal(*shape), "numerator": numerator, "denominator": normal(groups, 4)}


CASES = {
    "rational": Case("rational", rational, ("A",)),
    "rational shared": Case("rational", rational, ("A",), shared=True),
    "rational B": Case("rational", rational, ("B",)),
    "polynorm": Case("polynorm", polynorm),
    "polyrelu": Case("polyrelu", polyrelu),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
built = pytest.mark.skipif(library.library_problem() is not None, reason=str(library.library_problem()))
TIERS = ["portable", pytest.param("native", marks=built)]
every_tier = pytest.mark.parametrize("tier", TIERS)
DEVICES = [
    pytest.param("cpu", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="Triton runs on the GPU here")),
    pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]),
]
on_every_device = pytest.mark.parametrize("device", DEVICES)


def agree(case: Case, op: Callable[..., tuple[Tensor]], inputs: dict[str, Tensor], half: bool = False) -> None:
    """Values and the gradient of x at their limits, those of the coefficients at the one for long sums."""
    oracle = case.tier("reference")
    if half:
        assert_agree(op, oracle, inputs, value=HALF_VALUE, gradient=HALF_GRADIENT)
        return
    assert_agree(op, oracle, inputs, value=VALUE, gradient=SUM)
    x, *coefficients = inputs

    def of_x_alone(function: Callable[..., tuple[Tensor]]) -> Callable[..., tuple[Tensor]]:
        return lambda x: function(x=x, **{name: inputs[name].to(x.dtype) for name in coefficients})

    assert_agree(of_x_alone(op), of_x_alone(oracle), {x: inputs[x]}, value=VALUE, gradient=GRADIENT)


@every_tier
@every_case
@pytest.mark.parametrize(("shape", "groups"), [*SHAPES, *EMPTY], ids=str)
def test_values_and_gradients_equal_the_reference(case, tier, shape, groups, poisoned_memory):
    agree(case, case.tier(tier), case.inputs(shape, groups))


@every_tier
@every_case
def test_double_precision_is_kept_where_it_can_be(case, tier):
    inputs = {name: tensor.double() for name, tensor in case.inputs((37, 12)).items()}
    y = case.tier(tier)(**inputs)[0]
    assert y.dtype == torch.float64
    assert_agree(case.tier("portable"), case.tier("reference"), inputs, value=1e-13, gradient=1e-13)


@every_tier
@every_case
def test_half_precision_inputs_are_computed_in_single_precision(case, tier):
    inputs = case.inputs((300, 24))
    inputs["x"] = inputs["x"].bfloat16()
    assert case.tier(tier)(**inputs)[0].dtype == torch.bfloat16
    agree(case, case.tier(tier), inputs, half=True)


@every_tier
@every_case
def test_inputs_may_lie_in_memory_in_any_order(case, tier):
    inputs = case.inputs((7, 5, 24))
    inputs = {name: t.movedim(0, -1).contiguous().movedim(-1, 0) if t.ndim else t for name, t in inputs.items()}
    assert not inputs["x"].is_contiguous()
    agree(case, case.tier(tier), inputs)


@every_tier
@every_case
def test_inputs_are_left_as_they_were(case, tier):
    inputs = {name: tensor.requires_grad_() for name, tensor in case.inputs((7, 24)).items()}
    before = copy.deepcopy(inputs)
    y = case.tier(tier)(**inputs)[0]
    upstream = torch.ones_like(y)
    y.backward(upstream)
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)
    assert torch.equal(upstream, torch.ones_like(y))


@every_tier
@every_case
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_number_that_is_not_finite_stays_where_it_is(case, tier, bad):
    inputs = case.inputs((4, 40))
    clean = case.tier(tier)(**inputs)[0]
    inputs["x"][1, 3] = bad
    y = case.tier(tier)(**inputs)[0]
    assert not y[1, 3].isfinite()
    rows = torch.tensor([0, 2, 3])
    assert torch.equal(y[rows], clean[rows])


@every_tier
@every_case
def test_at_exactly_zero_the_slopes_are_those_of_autograd(case, tier):
    inputs = case.inputs((3, 24))
    inputs["x"][:, ::2] = 0
    if case.name == "rational":
        inputs["denominator"][0] = 0
    agree(case, case.tier(tier), inputs)


@every_case
def test_gradients_pass_gradcheck_in_double_precision(case):
    inputs = [tensor.double().requires_grad_() for tensor in case.inputs((3, 4)).values()]
    portable = case.tier("portable")
    names = case.inputs((3, 4)).keys()
    assert torch.autograd.gradcheck(lambda *tensors: portable(**dict(zip(names, tensors, strict=True))), inputs)


@every_tier
@every_case
def test_a_second_derivative_is_refused(case, tier):
    inputs = case.inputs((3, 4))
    x = inputs["x"].requires_grad_()
    slope = torch.autograd.grad(case.tier(tier)(**inputs)[0].sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="the ops are once differentiable"):
        slope.sum().backward()


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("level", library.LEVELS)
@every_case
def test_every_instruction_set_of_this_processor_gives_the_same(case, level, monkeypatch):
    if library.LEVELS.index(level) > library.LEVELS.index(library.cpu_level()):
        pytest.skip(f"this processor has no {level}")
    monkeypatch.setattr(library, "cpu_level", lambda: level)
    library.kernel.cache_clear()
    try:
        agree(case, case.tier("native"), case.inputs((70, 42), 2))
        agree(case, case.tier("native"), case.inputs((70, 42), 6))
    finally:
        library.kernel.cache_clear()


@every_case
@pytest.mark.usefixtures("native")
def test_sums_do_not_depend_on_the_number_of_threads(case):
    inputs = {name: tensor.requires_grad_() for name, tensor in case.inputs((700, 64)).items()}
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        y = case.tier("native")(**inputs)[0]
        found.append([y, *torch.autograd.grad(y, list(inputs.values()), torch.linspace(-1, 2, 64).expand(y.shape))])
    torch.set_num_threads(before)
    assert all(torch.equal(*pair) for other in found[1:] for pair in zip(found[0], other, strict=True))


@every_case
def test_autocast_does_not_narrow_it(case):
    inputs = {name: tensor.requires_grad_() for name, tensor in case.inputs((9, 24)).items()}
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            y = case.call(inputs)
        found.append([y, *torch.autograd.grad(y.square().sum(), list(inputs.values()))])
    assert all(torch.equal(plain, cast) for plain, cast in zip(*found, strict=True))


@every_case
def test_vmap_equals_a_loop_over_slices(case):
    inputs = case.inputs((3, 5, 24))
    x, *coefficients = inputs.values()

    def one(x: Tensor, *coefficients: Tensor) -> Tensor:
        return case.call(dict(zip(inputs, (x, *coefficients), strict=True)))

    x.requires_grad_()
    found = [torch.func.vmap(one, (1, None, None), 1)(x, *coefficients)]
    found += [torch.stack([one(row, *coefficients) for row in x.unbind(1)], 1)]
    assert torch.equal(*found)
    assert torch.equal(*(torch.autograd.grad(y.square().sum(), x)[0] for y in found))


@pytest.mark.parametrize("name", ["rational", "polynorm", "polyrelu"])
def test_it_compiles_into_one_graph(name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the compiler cannot trace the checks
    case = CASES[name]
    inputs = {key: tensor.requires_grad_() for key, tensor in case.inputs((3, 24)).items()}
    compiled = torch.compile(case.call, backend="aot_eager", fullgraph=True)
    found = []
    for function in (case.call, compiled):
        y = function(inputs)
        found.append([y, *torch.autograd.grad(y.square().sum(), list(inputs.values()))])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


TRITON_SHAPES = [((3, 24), 8), ((20, 256), 2), ((2, 2, 200), 1), ((1, 3), 1), *EMPTY]


@on_every_device
@every_case
@pytest.mark.parametrize(("shape", "groups"), TRITON_SHAPES, ids=str)
def test_triton_equals_the_reference(case, device, shape, groups, poisoned_memory):
    inputs = {name: tensor.to(device) for name, tensor in case.inputs(shape, groups).items()}
    agree(case, case.tier("triton"), inputs)


@on_every_device
@every_case
def test_every_configuration_of_the_triton_kernels_gives_the_same(case, device):
    kernels = importlib.import_module(f"armillary.core.ops.{case.name}.triton")
    inputs = {name: tensor.to(device) for name, tensor in case.inputs((21, 96), 2).items()}
    for index in range(max(len(kernels.FORWARD.configs), len(kernels.BACKWARD.configs))):
        forward, backward = (min(index, len(k.configs) - 1) for k in (kernels.FORWARD, kernels.BACKWARD))
        with kernels.FORWARD.pinned(forward), kernels.BACKWARD.pinned(backward):
            agree(case, case.tier("triton"), inputs)


@on_every_device
@every_case
def test_triton_reads_and_writes_half_precision(case, device):
    inputs = {name: tensor.to(device) for name, tensor in case.inputs((40, 24)).items()}
    inputs["x"] = inputs["x"].bfloat16()
    assert case.tier("triton")(**inputs)[0].dtype == torch.bfloat16
    agree(case, case.tier("triton"), inputs, half=True)


@on_every_device
@every_case
def test_triton_takes_any_order_in_memory_and_keeps_nan(case, device):
    inputs = {name: tensor.to(device) for name, tensor in case.inputs((5, 3, 24)).items()}
    inputs["x"] = inputs["x"].movedim(0, -1).contiguous().movedim(-1, 0)
    agree(case, case.tier("triton"), inputs)
    inputs["x"][1, 2, 3] = torch.nan
    assert case.tier("triton")(**inputs)[0][1, 2, 3].isnan()


def test_counted_costs_are_those_worked_by_hand():
    assert (rational_cost(10), polynorm_cost(10), polyrelu_cost(10)) == (90, 80, 30)
    for count in (rational_bytes, polynorm_bytes, polyrelu_bytes):
        assert count(10) == 80
        assert count(10, itemsize=2, backward=True) == 60
