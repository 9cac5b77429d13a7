"""`armillary bench` times every tier that can run here, and says how far each is from the oracle."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from armillary.core.errors import ConfigError
from armillary.core.ops.dispatch import OVERRIDE
from armillary.core.ops.table import OPS
from armillary.pipelines import bench as module
from armillary.pipelines.bench import bench, bench_table, errors, forced, serving
from armillary.pipelines.bench_examples import EXAMPLES, Example


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of one call, at the sizes where the oracle is asked."""
    tiny = {name: replace(entry, timed={**entry.timed, **entry.judged}) for name, entry in EXAMPLES.items()}
    monkeypatch.setattr(module, "EXAMPLES", tiny)
    monkeypatch.setattr(module, "ROUND_S", 0.0)


def test_every_op_has_an_example_and_nothing_else_has() -> None:
    assert EXAMPLES.keys() == OPS.keys()


@pytest.mark.parametrize("name", OPS)
@pytest.mark.usefixtures("small")
def test_an_op_has_a_row_for_each_tier_with_times_and_single_precision_errors(name: str) -> None:
    rows = bench([name], repeats=1, threads=1)
    assert [row["tier"] for row in rows if row["device"] == "cpu"] == serving(OPS[name], "cpu")
    for row in rows:
        assert row["forward_ms"] > 0
        assert (row["forward_backward_ms"] is None) != EXAMPLES[name].example(**EXAMPLES[name].judged).differentiable
        assert 0 < row["value_error"] < 1e-5
        assert row["gradient_error"] is None or 0 < row["gradient_error"] < 1e-5


@pytest.mark.usefixtures("small")
def test_the_active_tier_is_marked_and_only_that() -> None:
    rows = bench(["rational"], repeats=1, threads=1)
    assert [row["tier"] for row in rows if row["active"]] == [OPS["rational"].choose("cpu").tier]
    with forced("portable"):
        told = bench(["rational"], repeats=1, threads=1)
    assert {row["tier"]: row["active"] for row in told} == {row["tier"]: row["tier"] == "portable" for row in told}


@pytest.mark.usefixtures("small")
def test_threads_and_override_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERRIDE, raising=False)
    before = torch.get_num_threads()
    bench(["rational"], repeats=1, threads=before + 1)
    assert torch.get_num_threads() == before
    assert OVERRIDE not in module.os.environ


def test_the_same_sizes_give_the_same_numbers_whatever_was_drawn_before() -> None:
    entry = EXAMPLES["selective_scan"]
    first = entry.example(**entry.judged)
    torch.rand(3)
    state = torch.get_rng_state()
    second = entry.example(**entry.judged)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, second.inputs[name]) for name, tensor in first.inputs.items())


def test_a_fast_tier_that_is_wrong_by_a_hundredth_shows_in_the_errors() -> None:
    entry = EXAMPLES["rational"]

    def make(**sizes: Any) -> Example:
        example = entry.make(**sizes)

        def wrong(x: Tensor, **rest: Tensor) -> Tensor:
            return example.function(x, **rest) * (1.01 if x.dtype == torch.float32 else 1)

        return replace(example, function=wrong)

    found = errors("rational", "portable", replace(entry, make=make))
    assert found["output 0"] == pytest.approx(0.01, rel=1e-3)
    assert found["gradient x"] == pytest.approx(0.01, rel=1e-3)


def test_the_table_has_a_line_for_each_row_and_a_dash_where_there_is_no_gradient() -> None:
    header, *lines = bench_table([row("native", 3.0), row("portable", None)])
    assert [len(line) for line in lines] == [len(header)] * 2
    assert lines[0] == ["some_op", "grid=32x32", "native (cpu) *", "1", "3", "1e-07", "-"]
    assert lines[1] == ["some_op", "grid=32x32", "portable (cpu)", "1", "-", "1e-07", "-"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["selective_scam"]}, "bench: 'selective_scam' is no op; did you mean 'selective_scan'?"),
        ({"repeats": 0}, "bench: repeats is 0, expected at least 1."),
        ({"threads": 0}, "bench: threads is 0, expected at least 1."),
    ],
)
def test_bad_arguments_are_named(arguments: Mapping[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bench(**arguments)
    assert str(caught.value).startswith(message)


def row(tier: str, both: float | None) -> dict[str, object]:
    numbers = {"forward_ms": 1.0, "forward_backward_ms": both, "value_error": 1e-7, "gradient_error": None}
    return {
        "op": "some_op",
        "tier": tier,
        "device": "cpu",
        "active": tier == "native",
        "shape": {"grid": (32, 32)},
    } | numbers
