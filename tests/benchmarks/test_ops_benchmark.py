"""benchmarks/ops.py refuses what is not shown to be right, judges by the numbers, and keeps what was measured."""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from armillary.core.ops.table import OPS
from armillary.pipelines.bench_examples import EXAMPLES

ROOT = Path(__file__).parents[2]
TINY = {"batch": 1, "length": 4, "width": 8}


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """benchmarks/ops.py, which belongs to no package."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("ops")
    sys.path.remove(str(ROOT / "benchmarks"))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("ops", "op_cases")]:
        del sys.modules[name]


@pytest.fixture
def tiny(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> str:
    """One case, so small that it takes no time, whose tests are taken to pass; its name."""
    case = replace(benchmark.CASES["polynorm"], sizes=TINY, judged={})
    monkeypatch.setattr(benchmark, "CASES", {"polynorm": case})
    monkeypatch.setattr(benchmark, "ROUND_S", 0.0)
    monkeypatch.setattr(benchmark, "check_tests", lambda op: "3 passed")
    return "polynorm"


def run(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ops.py", *arguments])
    return benchmark.main()


def test_every_case_names_an_op_and_its_own_peers(benchmark: ModuleType) -> None:
    for name, case in benchmark.CASES.items():
        assert case.op in OPS, name
        named = {peer for target in case.targets for peer in getattr(target, "peers", ())}
        assert named <= case.peers.keys(), name


def test_the_oracle_is_asked_for_the_same_function_at_smaller_sizes(benchmark: ModuleType) -> None:
    for name, case in benchmark.CASES.items():
        if case.judge is None:
            assert case.judged.keys() <= case.sizes.keys(), name
        assert case.op in EXAMPLES


def test_a_finished_case_tells_times_targets_errors_and_how_it_was_measured(
    benchmark: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "ops.json"
    assert run(benchmark, monkeypatch, "--rounds", "3", "--threads", "1", "--out", str(path)) == 0
    result = json.loads(path.read_text())["cases"][tiny]
    assert {name: len(found["rounds"]) for name, found in result["seconds"].items()}["eager"] == 3
    assert f"armillary {result['active']}" in result["seconds"]
    assert result["targets"][0]["reached"] in (True, False)
    assert 0 < result["error"]["worst_output"] < 1e-6
    assert 0 < result["error"]["worst_gradient"] < 1e-5
    assert result["difference_from_peers"]["eager"] < 1e-6
    assert result["threads"] == 1
    assert result["tests"] == "3 passed"
    assert result["command"].startswith("python benchmarks/ops.py --rounds 3")
    assert "at least 5 times eager torch" in capsys.readouterr().out


def test_a_case_is_refused_and_nothing_written_if_the_tests_of_its_op_fail(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ops.json"
    failing = SimpleNamespace(returncode=1, stdout="FAILED test_of_the_op\n1 failed", stderr="")
    monkeypatch.setattr(benchmark.subprocess, "run", lambda *command, **named: failing)
    benchmark._run_tests.cache_clear()
    assert run(benchmark, monkeypatch, "--only", "rational", "--out", str(path)) == 1
    assert not path.exists()
    told = capsys.readouterr().out
    assert "rational is not measured: its tests fail" in told
    assert "1 failed" in told
    benchmark._run_tests.cache_clear()


def test_the_tests_of_an_op_run_once_however_many_cases_it_has(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def passing(command: list[str], **named: Any) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=0, stdout="5 passed", stderr="")

    monkeypatch.setattr(benchmark.subprocess, "run", passing)
    benchmark._run_tests.cache_clear()
    assert [benchmark.check_tests("neighbourhood_attention") for _ in range(2)] == ["5 passed"] * 2
    benchmark._run_tests.cache_clear()
    assert len(commands) == 1
    assert "tests/core/ops/test_neighbourhood.py" in commands[0]
    assert "tests/core/ops/test_rational.py" not in commands[0]


@pytest.mark.parametrize("op", OPS)
def test_every_op_is_named_by_tests(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    monkeypatch.setattr(benchmark, "_run_tests", lambda files: files)
    assert all((ROOT / path).is_file() for path in benchmark.check_tests(op))


def test_writing_one_case_keeps_the_others_in_the_order_of_the_table(benchmark: ModuleType, tmp_path: Path) -> None:
    path, (first, second, *_) = tmp_path / "ops.json", benchmark.CASES
    benchmark.write(path, second, {"threads": 2})
    benchmark.write(path, first, {"threads": 1})
    assert list(benchmark.write(path, second, {"threads": 4}).items()) == [
        (first, {"threads": 1}),
        (second, {"threads": 4}),
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["ops.json"]


def test_finished_cases_are_skipped_if_only_missing_ones_are_wanted(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: str
) -> None:
    path = tmp_path / "ops.json"
    run(benchmark, monkeypatch, "--rounds", "1", "--out", str(path))
    before = path.read_text()
    run(benchmark, monkeypatch, "--rounds", "1", "--missing", "--out", str(path))
    assert path.read_text() == before


@pytest.mark.parametrize(("ours", "reached"), [(0.09, True), (0.11, False)])
def test_a_speed_target_compares_medians_with_the_fastest_of_its_peers(
    benchmark: ModuleType, ours: float, reached: bool
) -> None:
    target = benchmark.Speed("at least 10 times", 10, ("slow", "fast"))
    rounds = {"slow": [2.0, 2.0, 9.0], "fast": [1.0, 0.9, 1.1]}
    found = benchmark.judge(target, [ours, ours / 2, ours * 2], rounds, {})
    assert found["against"] == "fast"
    assert found["ratio"] == pytest.approx(1 / ours)
    assert found["reached"] is reached
    assert found["ratio_of_rounds"][0] < found["ratio"] < found["ratio_of_rounds"][1]


def test_a_target_whose_peer_is_missing_is_neither_reached_nor_failed(benchmark: ModuleType) -> None:
    found = benchmark.judge(benchmark.Speed("faster", 1, ("here", "away")), [1.0], {"here": [9.0]}, {})
    assert (found["ratio"], found["reached"]) == (None, None)


def test_deadlines_and_memory_are_judged_by_how_much_room_is_left(benchmark: ModuleType) -> None:
    memory = {
        "here": {"inputs": 60, "outputs": 40, "peak_above_inputs": 400},
        "length 8": {"peak_above_inputs": 40},
    }
    deadline = benchmark.judge(benchmark.Deadline("under 100 us", 1e-4), [5e-5, 6e-5, 5e-5], {}, {})
    assert (deadline["ratio"], deadline["reached"]) == (pytest.approx(2.0), True)
    peak = benchmark.judge(benchmark.Memory("under 3 times", 3), [1.0], {}, memory)
    assert (peak["ratio"], peak["reached"]) == (pytest.approx(0.75), False)
    growth = benchmark.judge(benchmark.Growth("linear", 11, {"length": 8}), [1.0], {}, memory)
    assert (growth["ratio"], growth["reached"]) == (pytest.approx(1.1), True)


def test_the_table_says_what_was_not_measured(benchmark: ModuleType) -> None:
    missing = {"target": "faster than a peer", "at_least": 1.0, "ratio": None, "reached": None}
    result = {
        "active": "native",
        "pass": "forward",
        "seconds": {"armillary native": {"median": 0.0123}},
        "error": {"worst_output": 2e-7},
        "targets": [missing],
    }
    told = io.StringIO()
    Console(file=told, width=160).print(benchmark.table({"a-case": result}))
    (line,) = (line for line in told.getvalue().splitlines() if "a-case" in line)
    assert all(text in line for text in ("12.3", "faster than a peer", "not measured", "2e-07"))


def test_a_peer_that_does_not_run_is_named_with_its_last_words(benchmark: ModuleType, tmp_path: Path) -> None:
    case = replace(benchmark.CASES["rational"], sizes={**TINY, "groups": 2})
    runners, missing = benchmark.start(case, "portable", sys.executable, 1, tmp_path)
    assert list(runners) == ["armillary portable"]
    assert missing == {"kat_rational": "ModuleNotFoundError: No module named 'kat_rational'"}


def test_without_an_environment_of_peers_the_others_are_still_measured(benchmark: ModuleType, tmp_path: Path) -> None:
    case = replace(benchmark.CASES["rational-forward"], sizes={**TINY, "groups": 2})
    runners, missing = benchmark.start(case, "portable", None, 1, tmp_path)
    assert list(runners) == ["armillary portable", "SiLU"]
    assert missing == {"kat_rational": "no environment of peers was given"}


def test_peak_memory_counts_one_call_alone(benchmark: ModuleType) -> None:
    from op_cases.memory import peak_memory

    sizes = {"batch": 4, "length": 256, "width": 1024}
    found = peak_memory("rational-forward", sizes, 1)
    tensor = 4 * 256 * 1024 * torch.float32.itemsize
    assert found["outputs"] == tensor
    assert tensor <= found["inputs"] < 1.01 * tensor
    assert 0.9 * tensor < found["peak_above_inputs"] < 30 * tensor


@pytest.mark.parametrize(("grid", "window", "dilation"), [((11,), 3, 1), ((11,), 3, 3), ((6, 5), 3, 1), ((8, 7), 3, 2)])
def test_the_mask_of_flex_attention_is_our_neighbourhood(
    benchmark: ModuleType, grid: tuple[int, ...], window: int, dilation: int
) -> None:
    from op_cases.gpu_peers import neighbours

    example = EXAMPLES["neighbourhood_attention"].example(
        batch=1, grid=grid, heads=1, head_width=4, window=window, dilation=dilation
    )
    tokens = torch.arange(prod(grid))
    mask = neighbours(grid, window, dilation)(torch.tensor(0), torch.tensor(0), tokens[:, None], tokens)
    q, k, v = (tensor.flatten(1, -3).transpose(1, 2) for tensor in example.inputs.values())
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(dense.transpose(1, 2).reshape(example()[0].shape), example()[0])


def test_the_gpu_benchmark_rehearses_every_case_without_a_gpu(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, where benchmarks/on_gpu.sh runs the cases themselves")
    path = tmp_path / "gpu_ops.json"
    command = [sys.executable, "benchmarks/gpu_ops.py", "--dry-run", "--out", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    cases = json.loads(path.read_text())["cases"]
    assert len(cases) == 2 * 8
    for name, found in cases.items():
        limit = 1e-5 if name.endswith("float32") else 2e-2
        assert all(error < limit for error in found["error"].values()), name
