"""Which tier runs, why, and that it can be told and overridden."""

import copy
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from armillary.core.errors import ConfigError
from armillary.core.ops import dispatch
from armillary.core.ops.dispatch import OVERRIDE, TIERS, Op, SlowOpWarning
from armillary.core.ops.library import library_problem
from armillary.core.ops.table import OPS

HERE = "tests_dispatch_tiers"


@pytest.fixture
def op(monkeypatch: pytest.MonkeyPatch) -> Iterator[Op]:
    """An op whose tiers say which of them ran."""
    import types

    module = types.ModuleType(HERE)
    for place, tier in enumerate(TIERS):
        setattr(module, tier, lambda x, place=place, **hints: x + place + 10 * len(hints))
    monkeypatch.setitem(sys.modules, HERE, module)
    dispatch._load.cache_clear()
    dispatch._warn_once.cache_clear()
    monkeypatch.delenv(OVERRIDE, raising=False)
    yield Op("toy", **{tier: f"{HERE}:{tier}" for tier in TIERS})
    dispatch._load.cache_clear()


def ran(op: Op, x: Tensor, **hints: int) -> str:
    return TIERS[int(op(x, **hints)) % 10]


def test_every_op_has_a_reference_and_a_portable_tier_that_load():
    for op in OPS.values():
        for tier in ("reference", "portable"):
            assert callable(op.load(tier)), op.name


def test_the_names_of_the_table_are_the_ops_own():
    assert all(name == op.name for name, op in OPS.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_cpu_runs_the_native_tier_where_it_is_built(op: Op, dtype: torch.dtype, native: None):
    assert ran(op, torch.zeros((), dtype=dtype)) == "native"


def test_float64_runs_the_portable_tier_in_silence(op: Op):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ran(op, torch.zeros((), dtype=torch.float64)) == "portable"


def test_without_the_library_the_portable_tier_warns_once(op: Op, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "library_problem", lambda: "it is not built")
    with pytest.warns(SlowOpWarning, match="toy runs in its slower portable form: it is not built"):
        assert ran(op, torch.zeros(())) == "portable"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ran(op, torch.zeros(())) == "portable"


def test_a_gpu_runs_triton_and_says_why_not(op: Op, monkeypatch: pytest.MonkeyPatch):
    assert op.choose("cuda").tier == "triton"
    monkeypatch.setattr(dispatch, "triton_problem", lambda: "the package 'triton' is not installed")
    choice = op.choose("cuda")
    assert (choice.tier, choice.slow, choice.reason) == ("portable", True, "the package 'triton' is not installed")


def test_an_op_without_a_fast_tier_is_portable_and_not_slow(op: Op):
    plain = Op("plain", op.reference, op.portable)
    for device in ("cpu", "cuda", "meta", "mps"):
        choice = plain.choose(device)
        assert (choice.tier, choice.slow) == ("portable", False)


def test_hints_reach_every_tier_but_the_reference(op: Op, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(OVERRIDE, "portable")
    assert int(op(torch.zeros(()), chunk=3)) == TIERS.index("portable") + 10
    monkeypatch.setenv(OVERRIDE, "reference")
    assert int(op(torch.zeros(()), chunk=3)) == TIERS.index("reference")


def test_a_reason_why_a_call_cannot_be_served_sends_it_to_the_portable_tier(op: Op, native: None):
    with pytest.warns(SlowOpWarning, match="too many states"):
        assert TIERS[int(op(torch.zeros(()), unless={"native": "too many states"}))] == "portable"


def test_an_op_can_be_copied_and_sent_to_another_process(op: Op):
    for twin in (copy.deepcopy(op), pickle.loads(pickle.dumps(op))):
        assert twin == op
        assert ran(twin, torch.zeros(())) == ran(op, torch.zeros(()))


@pytest.mark.parametrize("tier", ["reference", "portable"])
def test_the_environment_overrides_all_ops(op: Op, monkeypatch: pytest.MonkeyPatch, tier: str):
    monkeypatch.setenv(OVERRIDE, tier)
    assert ran(op, torch.zeros(())) == tier
    assert op.choose("cpu").reason == f"{OVERRIDE} says so"


def test_the_environment_overrides_one_op(op: Op, monkeypatch: pytest.MonkeyPatch, native: None):
    monkeypatch.setenv(OVERRIDE, "selective_scan=reference, rational=portable")
    assert ran(op, torch.zeros(())) == "native"
    assert OPS["selective_scan"].choose("cpu").tier == "reference"
    assert OPS["rational"].choose("cpu").tier == "portable"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fast", f"{OVERRIDE}: 'fast' is no tier"),
        ("portabel", "did you mean 'portable'?"),
        ("selective_skan=portable", "'selective_skan' is no op; did you mean 'selective_scan'?"),
        ("selective_scan=quick", "'quick' is no tier"),
    ],
)
def test_an_override_that_means_nothing_is_told(op: Op, monkeypatch: pytest.MonkeyPatch, text: str, told: str):
    monkeypatch.setenv(OVERRIDE, text)
    with pytest.raises(ConfigError) as error:
        op(torch.zeros(()))
    assert told in str(error.value)


def test_an_override_that_cannot_run_here_is_told(op: Op, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(OVERRIDE, "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ConfigError, match="the triton tier needs an NVIDIA GPU"):
        op(torch.zeros(()))
    with pytest.raises(ConfigError, match="computes in float32, and the input is float64"):
        op.choose("cuda", torch.float64)


COMPILED = """
import torch
from armillary.core.ops import rational

inputs = torch.randn(3, 8), torch.randn(1, 6), torch.randn(2, 4)
torch.testing.assert_close(torch.compile(rational, backend="aot_eager", fullgraph=True)(*inputs), rational(*inputs))
"""


@pytest.mark.parametrize("tier", ["portable", "native"])
def test_torch_compile_sees_one_graph(tier: str, native: None):
    """In a process without the checks of shapes, which a compiler does not see through."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED],
        env={**os.environ, OVERRIDE: tier},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_library_of_this_environment_is_built():
    """The kernels are part of the package: where a compiler is, set-up builds them."""
    import shutil

    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")
    assert library_problem() is None
