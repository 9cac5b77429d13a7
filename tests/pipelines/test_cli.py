"""The command line, as a user types it, on the toy domain."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from armillary.pipelines import Run, train
from armillary.pipelines.cli import COMMAND_NAMES, build_parser, main
from armillary.pipelines.evaluate import evaluate


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str):
    """What a command prints as JSON."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that must fail."""
    assert main(list(arguments)) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.fixture
def trained(toy: Path) -> Path:
    """A finished toy run."""
    train("toy/simulated", out=toy / "run", quiet=True)
    return toy / "run"


def test_listings_name_the_plugin(toy: Path, capsys: pytest.CaptureFixture[str]):
    assert run_json(capsys, "domains")["toy"] == "fast or slow waves"
    assert run_json(capsys, "recipes")["toy/simulated"] == "The toy recipe; it has no paper."
    card = run_json(capsys, "cards")["waves"]
    assert card["licence"]["spdx"] == "CC0-1.0"
    assert card["simulated"] is True


def test_a_broken_plugin_is_named_and_spoils_no_other(toy: Path, capsys: pytest.CaptureFixture[str]):
    info = toy / "site" / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[armillary.domains]\nbroken = nowhere:DOMAIN\n")
    found = run_json(capsys, "domains")
    assert found["toy"] == "fast or slow waves"
    assert "No module named 'nowhere'" in found["broken"]
    assert "is installed but does not load" in fail(capsys, "describe", "broken/x")


def test_train_evaluate_predict_report(toy: Path, capsys: pytest.CaptureFixture[str]):
    run = str(toy / "run")
    assert main(["train", "toy/simulated", "--out", run, "--quiet", "--set", "train.epochs=30"]) == 0
    assert "next: armillary evaluate" in capsys.readouterr().out
    result = run_json(capsys, "evaluate", run)
    assert result["simulated"] is True
    model, coin = (result["metrics"][name]["log_loss"] for name in ("model", "coin"))
    assert model["low"] <= model["value"] <= model["high"] < coin["value"] == pytest.approx(np.log(2))
    data = toy / "cache" / "data" / "toy" / "waves"
    (data / "broken_0.txt").write_text("nan nan oops")
    out = [str(toy / f"p{suffix}") for suffix in (".csv", ".nc")]
    assert main(["predict", run, str(data), "--out", out[0], "--out", out[1], "--chunk-items", "64"]) == 0
    said = capsys.readouterr().err
    assert "200 items predicted, 1 problems" in said
    assert "broken_0.txt: could not convert" in said
    assert len(Path(out[0]).read_text().splitlines()) == 201
    assert xr.open_dataset(out[1]).sizes["item"] == 200
    (data / "broken_0.txt").unlink()
    assert main(["report", run]) == 0
    html = (toy / "run" / "report.html").read_text()
    assert "Toy waves" in html
    assert "simulated" in html


def test_several_runs_are_judged_on_their_joined_predictions(trained: Path, toy: Path):
    other = train("toy/simulated", out=toy / "other", quiet=True, seed=1)
    one = Run.load(trained)
    joined = evaluate([one, other], baselines=False)
    each = [evaluate([run], baselines=False)["metrics"]["model"]["log_loss"]["value"] for run in (one, other)]
    assert joined["items"] == 80
    assert joined["metrics"]["model"]["log_loss"]["value"] == pytest.approx(np.mean(each))


def test_python_use(trained: Path):
    run = Run.load(trained)
    assert "toy/simulated" in repr(run)
    assert "validation log_loss" in repr(run)
    chunk = next(iter(run.domain.read([trained.parent / "cache" / "data" / "toy" / "waves"], _options())))
    prediction = run.predict(chunk)
    assert isinstance(prediction, xr.Dataset)
    assert prediction["probability"].dims == ("item", "class")
    parts = run.predict([chunk.isel(item=slice(0, 70)), chunk.isel(item=slice(70, None))])
    np.testing.assert_array_equal(parts["item"], prediction["item"])
    assert list(run.figures()) == ["points"]
    assert run.evaluate()["primary"] == "log_loss"


def _options():
    from armillary.core.domain import ReadOptions

    return ReadOptions(lambda error: None)


def test_the_run_folder_tells_what_made_it(trained: Path):
    saved = json.loads((trained / "config.json").read_text())
    assert saved["config"]["recipe"] == "toy/simulated"
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["versions"]["torch"]
    card = json.loads((trained / "cards.json").read_text())[0]
    assert card["id"] == "waves"
    assert len(card["sha256"]) == 64
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["train loss"] < rows[0]["train loss"]
    assert list((trained / "tensorboard").glob("events*"))


def test_describe_prints_parameters(toy: Path, capsys: pytest.CaptureFixture[str]):
    found = run_json(capsys, "describe", "toy/simulated")
    assert found["parameters"] == 24 * 16 + 16 + 16 * 2 + 2
    assert found["mac"] == 24 * 16 + 16 * 2
    assert main(["describe", "toy/simulated", "--set", "model.width=32"]) == 0
    assert "866" in capsys.readouterr().out


def test_config_show_tells_where_a_value_came_from(toy: Path, capsys: pytest.CaptureFixture[str]):
    (toy / "my.yaml").write_text("optim:\n  lr: 0.5\n")
    arguments = ["config", "show", "toy/simulated", "--why", "--config", "my.yaml", "--set", "seed=4"]
    assert main(arguments) == 0
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()}
    assert rows["optim.lr"] == ["0.5", "my.yaml:2"]
    assert rows["seed"] == ["4", "--set seed=4"]
    assert rows["model.width"] == ["16", "recipe toy/simulated"]


def test_config_diff_shows_what_differs(trained: Path, toy: Path, capsys: pytest.CaptureFixture[str]):
    train("toy/simulated", out=toy / "other", quiet=True, epochs=1, set={"model.width": 8})
    found = run_json(capsys, "config", "diff", str(trained), str(toy / "other"))
    assert found == {"model.width": ["16", "8"], "train.epochs": ["5", "1"]}


def test_early_stopping_ends_a_run_that_does_not_gain(toy: Path):
    train("toy/simulated", out=toy / "run", quiet=True, epochs=50, set={"train.patience": 2, "optim.lr": 1e-9})
    rows = (toy / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) < 10


def test_a_budget_of_processor_time_ends_a_run_with_its_epoch(toy: Path):
    run = train("toy/simulated", out=toy / "run", quiet=True, epochs=500, set={"train.cpu_seconds": 0.2})
    rows = [json.loads(line) for line in (toy / "run" / "metrics.jsonl").read_text().splitlines()]
    assert 1 <= len(rows) < 200
    assert rows[-1]["validation log_loss"] is not None
    again = train("toy/simulated", out=toy / "run", quiet=True, epochs=500, resume=True)
    assert repr(again) == repr(run)


WRONG = [
    (["train", "toy/simulatd"], "toy has no recipe 'simulatd'; did you mean 'simulated'?"),
    (["train", "simulated"], "expected DOMAIN/NAME"),
    (["train", "toys/simulated"], "no domain 'toys' is installed; did you mean 'toy'?"),
    (["train", "toy/simulated", "--set", "train.epoch=3"], "did you mean 'epochs'?"),
    (["train", "toy/simulated", "--config", "none.yaml"], "none.yaml: cannot be read"),
    (["train", "toy/simulated", "--resume"], "give --out DIR"),
    (["train", "toy/simulated", "--resume", "--out", "nowhere"], "no such file"),
    (["evaluate", "nowhere"], "nowhere: no such folder"),
    (["predict", "nowhere", "x.csv", "--out", "y.csv"], "nowhere: no such folder"),
    (["report", "nowhere"], "nowhere: no such folder"),
    (["data", "show", "wave"], "no card 'wave'; did you mean 'waves'?"),
    (["describe", "toy/other"], "toy has no recipe 'other'"),
    (["check", "tay"], "no domain 'tay' is installed"),
    (["trian", "toy/simulated"], "'trian' is neither a command nor a domain; did you mean 'train'?"),
    (["toy", "mix"], "toy has no verb 'mix'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_call_says_what_to_do(
    toy: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert message in fail(capsys, *arguments)


def test_wrong_inputs_and_outputs_of_predict(trained: Path, capsys: pytest.CaptureFixture[str]):
    (trained.parent / "empty").mkdir()
    (trained.parent / "bad.txt").write_text("what")
    run = str(trained)
    assert "no such file or folder" in fail(capsys, "predict", run, "none.txt", "--out", "p.csv")
    assert "toy writes .csv, .nc" in fail(capsys, "predict", run, "bad.txt", "--out", "p.xlsx")
    assert "Nothing could be predicted" in fail(capsys, "predict", run, "bad.txt", "--out", "p.csv")
    assert "Nothing could be predicted" in fail(capsys, "predict", run, "empty", "--out", "p.csv")
    assert "only predict.* may be set" in fail(capsys, "predict", run, "bad.txt", "--out", "p.csv", "--set", "seed=1")
    assert not Path("p.csv").exists()


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]):
    for name in COMMAND_NAMES:
        with pytest.raises(SystemExit) as done:
            build_parser().parse_args([name, "--help"])
        assert done.value.code == 0
    assert "usage: armillary demo" in capsys.readouterr().out


def test_a_full_disk_leaves_nothing_half_written(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(prediction: xr.Dataset, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    import armillary_toy.parts as parts

    monkeypatch.setattr(parts, "write", full)
    data = trained.parent / "cache" / "data" / "toy" / "waves"
    assert "No space left on device" in fail(capsys, "predict", str(trained), str(data), "--out", "p.csv")
    assert not list(Path().glob("*p.csv*"))
