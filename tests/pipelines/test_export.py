"""A finished run as files for other programs: what is written, and that it runs where armillary is not."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from armillary.domains.modulation import DOMAIN
from armillary.pipelines import Run, train
from armillary.pipelines.cli import main
from armillary.pipelines.export import ExportWarning, spread
from armillary.pipelines.export_program import TOLERANCE

SMALL = {"data.card": "simulated_rml2016a", "distill": None, "train.steps": 10, "train.threads": 1}
ALONE = """
import re, sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ImportError(f"blocked: {name}")

sys.meta_path.insert(0, Blocked())
code = re.search("```python\\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.S)[1]
exec(compile(code, "README.md", "exec"))
assert not any(name.partition(".")[0] == "armillary" for name in sys.modules)
import numpy
frames = numpy.load(sys.argv[2])
if "torch" in sys.modules:
    with torch.no_grad():
        found = model({"iq": torch.from_numpy(frames)})["probability"].numpy()
else:
    found = session.run(["probability"], {"iq": frames})[0]
numpy.save(sys.argv[3], found)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A KD-CNN after ten steps on a few simulated frames."""
    folder = tmp_path_factory.mktemp("export")
    DOMAIN.simulate("simulated_rml2016a", folder / "data", 0, "twin")
    return train("modulation/kd-cnn-rml2016a", out=folder / "run", data_root=folder / "data", quiet=True, set=SMALL)


@pytest.fixture(scope="module")
def cards(finished: Run) -> dict[str, dict[str, Any]]:
    """The cards of both formats; the run was evaluated before."""
    finished.evaluate("test")
    with pytest.MonkeyPatch.context() as patch:
        # Ten steps leave scores so alike that eight bits may lose anything.
        patch.setattr("armillary.pipelines.export_measure.LARGEST_LOSS", 1e9)
        return finished.export(["onnx", "torch"], int8=True)


def folder_of(run: Run, form: str) -> Path:
    return run.folder.path / "export" / form


@pytest.mark.parametrize(("form", "blocked"), [("onnx", "armillary,torch"), ("torch", "armillary")])
def test_the_readme_runs_without_armillary_and_gives_the_models_answers(
    cards: dict[str, Any], finished: Run, form: str, blocked: str, tmp_path: Path
):
    (batch,) = spread(finished.items("validation"), 5)
    np.save(tmp_path / "frames.npy", batch["iq"].numpy())
    (answer,) = finished.model.predict(batch, finished.config.predict)  # pyright: ignore
    command = [sys.executable, "-c", ALONE, blocked, str(tmp_path / "frames.npy"), str(tmp_path / "found.npy")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder_of(finished, form), env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in finished.config.data.classes  # pyright: ignore
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, answer["probability"].detach().numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_the_card_says_what_a_receiver_must_know(cards: dict[str, Any], finished: Run, form: str):
    card = json.loads((folder_of(finished, form) / "model_card.json").read_text())
    assert card == json.loads(json.dumps(cards[form]))
    assert card["classes"] == list(finished.config.data.classes)  # pyright: ignore
    assert card["simulated"] is True
    assert "CC0-1.0" in card["licence"]
    assert card["inputs"]["iq"]["shape"] == ["item", 2, 128]
    assert card["outputs"]["probability"]["shape"] == ["item", 11]
    assert card["evaluation"]["test"]["metrics"]["log_loss"]["value"] > 0
    parity = card["parity"]
    assert parity["items"] == len(finished.items("validation"))
    assert parity["judged"] == ["probability", "open_set_score"]
    assert all(parity["largest difference"][name] <= TOLERANCE for name in parity["judged"])
    for name, facts in card["files"].items():
        content = (folder_of(finished, form) / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_the_pages_tell_licence_simulation_classes_and_metrics(cards: dict[str, Any], finished: Run, form: str):
    readme = (folder_of(finished, form) / "README.md").read_text()
    page = (folder_of(finished, form) / "model_card.md").read_text()
    for text in (readme, page):
        assert "Trained on SIMULATED data." in text
        assert "CC0-1.0" in text
    assert "8PSK, AM-DSB" in page
    assert re.search(r"\| log_loss \| \d", page)
    assert all(facts["sha256"] in page for facts in cards[form]["files"].values())


def test_a_lone_file_carries_its_card(cards: dict[str, Any], finished: Run):
    inside = {p.key: p.value for p in onnx.load(folder_of(finished, "onnx") / "model.onnx").metadata_props}
    extra = {"model_card.json": ""}
    torch.export.load(folder_of(finished, "torch") / "model.pt2", extra_files=extra)
    for about in ({**inside, "classes": json.loads(inside["classes"])}, json.loads(extra["model_card.json"])):
        assert about["recipe"] == "modulation/kd-cnn-rml2016a"
        assert about["classes"] == cards["torch"]["classes"]
        assert "CC0-1.0" in about["licence"]


def test_the_files_name_no_folder_of_this_machine(cards: dict[str, Any], finished: Run):
    for path in (folder_of(finished, "onnx") / "model.onnx", folder_of(finished, "torch") / "model.pt2"):
        assert str(finished.folder.path).encode() not in path.read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()


def test_the_int8_card_tells_loss_and_latency(cards: dict[str, Any], finished: Run):
    facts = cards["onnx"]["int8"]
    assert facts["lost unit"] == "points of accuracy"
    assert facts["items"] == len(finished.items("validation"))
    assert {"torch", "onnx", f"int8 {facts['way']}"} <= facts["forms"].keys()
    for about in facts["forms"].values():
        assert about["milliseconds"] > 0
        assert about["metrics"].keys() == {"log_loss", "accuracy"}
    before, after = (facts["forms"][form]["metrics"]["accuracy"] for form in ("onnx", f"int8 {facts['way']}"))
    assert facts["lost"] == pytest.approx(100 * (before - after))
    page = (folder_of(finished, "onnx") / "model_card.md").read_text()
    assert f"It loses {facts['lost']:.2f} points of accuracy" in page
    assert "| int8 static |" in page
    assert sorted(path.name for path in folder_of(finished, "onnx").iterdir()) == [
        "README.md", "model.onnx", "model_card.json", "model_card.md", "model_int8.onnx"
    ]  # fmt: skip


def test_the_int8_file_answers_as_measured(cards: dict[str, Any], finished: Run):
    from armillary.pipelines.export_onnx import onnx_runner

    (batch,) = spread(finished.items("validation"), 5)
    found = onnx_runner(folder_of(finished, "onnx") / "model_int8.onnx")({"iq": batch["iq"]})
    assert found["probability"].shape == (5, 11)
    torch.testing.assert_close(found["probability"].sum(-1), torch.ones(5))


def test_an_int8_file_that_loses_much_warns(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("armillary.pipelines.export_measure.LARGEST_LOSS", -101.0)
    monkeypatch.setattr("armillary.pipelines.export_measure.WAYS", ("dynamic",))
    with pytest.warns(ExportWarning, match="points of accuracy on the validation split"):
        card = finished.export(["onnx"], int8=True, out=tmp_path / "out")["onnx"]
    assert "Use the float file" in card["int8"]["warning"]
    assert "**Warning: " in (tmp_path / "out" / "onnx" / "model_card.md").read_text()


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_its_installation_is_told(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name, *more))
    assert main(["export", str(finished.folder.path), "--onnx", "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert package in told
    assert "pip install 'armillary[export]'" in told
    assert not (tmp_path / "out").exists()
