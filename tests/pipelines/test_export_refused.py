"""What `export` refuses, and that nothing is left behind then; on the toy domain."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from armillary.core.domain import Interface, Port
from armillary.core.errors import RunError
from armillary.pipelines import Run, train
from armillary.pipelines.cli import main
from armillary.pipelines.export_int8 import Candidate, choose
from armillary.pipelines.export_program import beyond, differences, padded


@pytest.fixture
def run(toy: Path) -> Run:
    """A finished run of the toy domain."""
    return train("toy/simulated", out=toy / "run", quiet=True, set={"train.epochs": 1})


def test_a_domain_of_a_plugin_is_exported(run: Run, toy: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["export", str(run.folder.path), "--torch", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)["torch"]
    assert card["classes"] == ["fast", "slow"]
    assert max(card["parity"]["largest difference"].values()) <= 1e-4
    assert card["evaluation"] == {}
    folder = toy / "run" / "export" / "torch"
    assert "Not evaluated" in (folder / "model_card.md").read_text()
    first = (folder / "model_card.json").stat().st_mtime_ns
    assert main(["export", str(run.folder.path), "--torch"]) == 0
    assert (folder / "model_card.json").stat().st_mtime_ns > first
    assert "differs from the model by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "told"), [([], "give --onnx, --torch or both"), (["--torch", "--int8"], "give --onnx, too")]
)
def test_flags_that_say_too_little_are_wrong_usage(
    toy: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
):
    assert main(["export", "run", *flags]) == 2
    assert told in capsys.readouterr().err


def test_the_function_asks_for_a_format_too(run: Run):
    with pytest.raises(ValueError, match="at least one of the formats onnx, torch"):
        run.export([])
    with pytest.raises(ValueError, match="int8 is a form of the ONNX file"):
        run.export(["torch"], int8=True)


def test_a_folder_that_holds_something_else_is_left_alone(run: Run, toy: Path):
    other = toy / "mine" / "torch"
    other.mkdir(parents=True)
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="holds something that is no export"):
        run.export(["torch"], out=toy / "mine")
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_a_file_that_gives_other_answers_is_not_left(run: Run, toy: Path, monkeypatch: pytest.MonkeyPatch):
    def wrong(path: Path):
        assert path.exists()
        return lambda feed: {"probability": torch.full((len(feed["value"]), 2), 0.9)}

    monkeypatch.setattr("armillary.pipelines.export.torch_runner", wrong)
    with pytest.raises(
        RunError, match=r"model\.pt2 differs from the model: probability by .* expected at most 0\.0001"
    ):
        run.export(["torch"])
    assert list((toy / "run" / "export").iterdir()) == []


def test_a_run_without_a_finished_model_is_refused(run: Run, capsys: pytest.CaptureFixture[str]):
    (run.folder.model / "weights.safetensors").unlink()
    assert main(["export", str(run.folder.path), "--torch"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


class Silent(nn.Module):
    """A model that does not say what it takes."""


class Branching(nn.Module):
    """A model that decides in Python by what it sees."""

    def interface(self) -> Interface:
        """A wave to its double."""
        return Interface({"value": Port(("item", "t"))}, {"probability": Port(("item", "t"))})

    def predict(self, batch: dict[str, torch.Tensor], options: object):
        """Twice the wave, if it is positive."""
        value = batch["value"]
        yield {"probability": value * 2 if float(value.sum()) > 0 else value}


@pytest.mark.parametrize(
    ("model", "told"),
    [(Silent(), "has no `interface\\(\\)`"), (Branching(), "decides in Python by the values of tensors")],
)
def test_a_model_that_cannot_be_exported_says_why_and_what_to_do(run: Run, toy: Path, model: nn.Module, told: str):
    run.__dict__["model"] = model
    with pytest.raises(RunError, match=told) as caught:
        run.export(["torch"])
    assert "xport a run" in str(caught.value)
    assert not (toy / "run" / "export").exists() or not list((toy / "run" / "export").iterdir())


def test_differences_are_relative_above_one_and_see_what_is_not_finite():
    nan, inf = float("nan"), float("inf")
    model = {"a": torch.tensor([100.0, 0.5, nan, inf])}
    assert differences({"a": torch.tensor([101.0, 0.5, nan, inf])}, model)["a"] == pytest.approx(0.01)
    assert differences({"a": torch.tensor([100.0, nan, nan, inf])}, model)["a"] == inf
    assert differences({"a": torch.zeros(3)}, model)["a"] == inf


def test_an_output_that_counts_may_jump_but_must_be_finite():
    outputs = {"smooth": Port(("item",)), "rank": Port(("item",), counts=True)}
    interface = Interface({}, outputs)
    assert beyond({"smooth": 1e-6, "rank": 0.1}, interface) == {}
    assert beyond({"smooth": 0.01, "rank": float("inf")}, interface) == {"smooth": 0.01, "rank": float("inf")}
    assert beyond({"smooth": float("nan"), "rank": 0.0}, interface).keys() == {"smooth"}


def test_ragged_inputs_are_padded_with_what_their_port_says_and_longer_ones_refused():
    interface = Interface({"error": Port(("item", "t"), padding=1.0), "mask": Port(("item", "t"))}, {}, ("t",))
    batch = {"error": torch.full((1, 2), 5.0), "mask": torch.ones(1, 2, dtype=torch.bool)}
    found = padded(batch, interface, {"t": 3})
    assert found["error"].tolist() == [[5.0, 5.0, 1.0]]
    assert found["mask"].tolist() == [[True, True, False]]
    with pytest.raises(RunError, match="an item has 2 along 't'; this export is bound to 1"):
        padded(batch, interface, {"t": 1})


def test_the_int8_form_is_chosen_by_loss_then_time_then_size(tmp_path: Path):
    def candidate(name: str, size: int, lost: float, time: float) -> Candidate:
        path = tmp_path / name
        path.write_bytes(bytes(size))
        return Candidate(name, path, {}, lost, time)

    quick, small = candidate("quick", 50, 0.2, 0.5), candidate("small", 30, 0.1, 0.9)
    useless, lossy = candidate("useless", 99, 0.0, 1.0), candidate("lossy", 10, 3.0, 0.1)
    every = [quick, small, useless, lossy]
    assert choose(every, 100, 1.0) is quick
    assert (
        choose([replace(quick, milliseconds=1.2), replace(small, milliseconds=1.4), useless], 100, 1.0).way == "small"
    )
    assert choose([useless, lossy], 100, 1.0) is lossy  # with a warning; the other saves nothing
    assert choose([useless], 100, 1.0) is useless
