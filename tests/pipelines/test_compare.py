"""Comparing mixers, as a user types it, on the toy domain."""

import json
from pathlib import Path

import pytest
import torch

from armillary.core.config.channels import GLUSettings
from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, MambaSettings
from armillary.core.config.overrides import Override
from armillary.core.config.trunk import TrunkSettings
from armillary.core.domain import TrunkNeeds
from armillary.core.errors import ConfigError, RunError
from armillary.core.mixers import Attention
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.pipelines import measure
from armillary.pipelines.cli import main
from armillary.pipelines.compare import Plan, compare, growth
from armillary.pipelines.config import recipe_config, resolve_recipe
from armillary.pipelines.contestants import Contestant, contestants

PLAN = Plan("toy/trunk", budget=6)
PNG = b"\x89PNG"


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs are made up: measuring takes a process of its own each, and is tested once."""
    cost = {"step_seconds": 0.1, "items_per_second": 10.0, "peak_bytes": 2.0**20}
    monkeypatch.setattr("armillary.pipelines.compare.measured", lambda *arguments: cost)


def built(contestant: Contestant):
    """The trunk settings that a contestant makes of the toy recipe."""
    return resolve_recipe("toy/trunk", contestant.overrides).config.model.trunk  # pyright: ignore


def of(text: str, channels: str | None = None, causal: bool = False) -> list[Contestant]:
    return contestants(recipe_config("toy/trunk"), text, channels, TrunkNeeds(8, causal))


def test_a_kind_takes_the_recipes_own_settings_where_it_has_that_kind(toy: Path):
    (attention,) = of("attention")
    assert built(attention).pattern == (AttentionSettings(heads=2, rotary=True),)


def test_settings_in_brackets_win(toy: Path):
    attention, mamba = of("attention(heads=4, rotary=false),mamba(state=8)")
    assert built(attention).pattern == (AttentionSettings(heads=4),)
    assert built(mamba).pattern == (MambaSettings(state=8, bidirectional=True),)


@pytest.mark.parametrize("causal", [True, False])
def test_causality_follows_what_the_recipe_needs(toy: Path, causal: bool):
    mamba, attention = of("mamba,attention", causal=causal)
    assert built(mamba).pattern[0].bidirectional is not causal
    assert built(attention).pattern[0].causal is causal


def test_the_rank_of_a_grid_mixer_follows_the_recipe(toy: Path):
    (window,) = of("window")
    assert built(window).pattern[0].rank == 1


def test_a_pattern_of_several_mixers_is_written_with_plus_and_times(toy: Path):
    hybrid, twice = of("mamba2(head_width=8)+attention,2*attention")
    mamba2, attention = Mamba2Settings(head_width=8, bidirectional=True), AttentionSettings(heads=2, rotary=True)
    assert built(hybrid).pattern == (mamba2, attention)
    assert built(twice).pattern == (attention, attention)


def test_every_mixer_meets_every_channel_mixer(toy: Path):
    found = of("attention,pooling", "mlp(ratio=2),glu")
    assert [one.name for one in found] == [
        "attention mlp(ratio=2)", "attention glu", "pooling mlp(ratio=2)", "pooling glu"
    ]  # fmt: skip
    assert built(found[3]).channel == GLUSettings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("atention", "did you mean 'attention'"),
        ("attention,,mamba", "a name is missing or a bracket is open"),
        ("attention(heads=2", "a name is missing or a bracket is open"),
        ("attention heads", "is no mixer; expected KIND"),
        ("attention(heads=[1)", "a name is missing or a bracket is open"),
    ],
)
def test_what_is_no_mixer_is_told(toy: Path, text: str, told: str):
    with pytest.raises(ConfigError) as error:
        of(text)
    assert told in str(error.value)


def test_a_recipe_without_blocks_says_so(toy: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["compare", "toy/simulated", "--mixers", "attention"]) == 1
    assert "has no blocks to put a mixer into" in capsys.readouterr().err


def test_compare_trains_judges_and_measures_and_goes_on(toy: Path, capsys: pytest.CaptureFixture[str]):
    command = ["compare", "toy/trunk", "--budget", "6", "--out", "cmp", "--quiet", "--threads", "1", "--json"]
    assert main([*command, "--mixers", "attention,pooling,attention(heads=3)", "--seeds", "2"]) == 0
    captured = capsys.readouterr()
    assert "left out: attention(heads=3): attention at width 8 cannot have 3 heads" in captured.err
    result = json.loads(captured.out)
    assert {entry["mixer"] for entry in result["entries"]} == {"attention", "pooling"}
    for entry in result["entries"]:
        assert entry["seeds"] == [0, 1]
        assert entry["step_seconds"] > 0
        assert entry["items_per_second"] > 0
        spread = entry["quality"]["log_loss"]
        assert spread["mean"] == pytest.approx(sum(spread["values"]) / 2)
    assert result["baselines"]["coin"]["log_loss"]["value"] == pytest.approx(0.6931, abs=1e-3)
    assert (toy / "cmp" / "compare.png").read_bytes().startswith(PNG)

    before = (toy / "cmp" / "runs" / "attention-seed0.json").stat().st_mtime_ns
    assert main([*command, "--mixers", "attention,mamba(state=2)", "--seeds", "1"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {entry["mixer"] for entry in again["entries"]} == {"attention", "mamba(state=2)"}
    assert (toy / "cmp" / "runs" / "attention-seed0.json").stat().st_mtime_ns == before


def test_the_budget_ends_training_inside_an_epoch(toy: Path, unmeasured: None):
    compare(PLAN, "pooling", out=toy / "cmp", seeds=1, quiet=True)
    rows = [json.loads(line) for line in (toy / "cmp/runs/pooling-seed0/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 6
    assert "validation log_loss" in rows[-1]


def test_a_folder_of_other_conditions_is_refused(toy: Path, unmeasured: None):
    compare(PLAN, "pooling", out=toy / "cmp", seeds=1, quiet=True)
    with pytest.raises(RunError, match="budget: 6 there, 7 now"):
        compare(Plan("toy/trunk", budget=7), "pooling", out=toy / "cmp", seeds=1, quiet=True)


def test_a_stopped_cell_goes_on(toy: Path, unmeasured: None):
    """A cell whose training was cut off has a run folder and no result."""
    whole = compare(PLAN, "pooling", out=toy / "a", seeds=1, quiet=True)
    compare(PLAN, "pooling", out=toy / "b", seeds=1, quiet=True)
    cut = toy / "b" / "runs" / "pooling-seed0"
    cut.with_suffix(".json").unlink()
    (cut / "model" / "model.json").unlink()
    again = compare(PLAN, "pooling", out=toy / "b", seeds=1, quiet=True)
    assert again["entries"][0]["quality"] == whole["entries"][0]["quality"]


def test_a_cell_that_fails_is_named_and_the_others_go_on(toy: Path, unmeasured: None, monkeypatch: pytest.MonkeyPatch):
    from armillary.pipelines import compare as module

    train = module.train

    def failing(*arguments: object, **named: object):
        if named["seed"] == 0:
            raise RunError("the loss is nan")
        return train(*arguments, **named)  # pyright: ignore

    monkeypatch.setattr(module, "train", failing)
    result = compare(PLAN, "pooling", out=toy / "cmp", seeds=2, quiet=True)
    assert result["left_out"] == {"pooling seed 0": "the loss is nan"}
    assert result["entries"][0]["seeds"] == [1]


def test_jobs_change_no_number(toy: Path, unmeasured: None):
    found = compare(PLAN, "pooling", out=toy / "cmp", seeds=2, jobs=2, threads=1, quiet=True)
    other = compare(PLAN, "pooling", out=toy / "other", seeds=2, jobs=1, threads=1, quiet=True)
    assert found["entries"][0]["quality"] == other["entries"][0]["quality"]


def test_growth_with_length_is_measured_and_drawn(toy: Path, capsys: pytest.CaptureFixture[str]):
    command = ["compare", "toy/trunk", "--mixers", "pooling", "--lengths", "8,32", "--out", "cmp"]
    assert main([*command, "--threads", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["mixer"], row["length"]) for row in rows] == [("pooling", 8), ("pooling", 32)]
    assert all(row["both_seconds"] > 0 and row["mac"] > 0 for row in rows)
    assert (toy / "cmp" / "growth.png").read_bytes().startswith(PNG)


def test_the_counted_work_of_a_trunk_counts_every_application():
    pattern = (AttentionSettings(heads=2),)
    once, twice = (Trunk(TrunkSettings(width=8, depth=2, pattern=pattern, tied=tied)) for tied in (1, 2))
    tokens = Tokens(torch.randn(1, 6, 8))
    work = [measure._mixing(model, lambda model=model: model(tokens)) for model in (once, twice)]
    assert work[0] == 2 * Attention(8, pattern[0]).cost(1, 6)
    assert work[1] == 2 * work[0]


def test_growth_of_another_model_is_refused(toy: Path, monkeypatch: pytest.MonkeyPatch):
    point = {"forward_seconds": 0.1, "both_seconds": 0.2, "peak_bytes": 1.0, "mac": 1.0}
    monkeypatch.setattr("armillary.pipelines.compare.measured", lambda *arguments: point)
    growth(PLAN, "pooling", None, [8], out=toy / "cmp")
    growth(Plan("toy/trunk", budget=9), "pooling", None, [8, 16], out=toy / "cmp")
    wider = Plan("toy/trunk", (Override("model.trunk.width", 16, "a test"),))
    with pytest.raises(RunError, match="growth of another model"):
        growth(wider, "pooling", None, [8], out=toy / "cmp")


@pytest.mark.parametrize("option", ["--seeds", "--jobs"])
def test_fewer_than_one_seed_or_job_is_told(toy: Path, capsys: pytest.CaptureFixture[str], option: str):
    assert main(["compare", "toy/trunk", "--mixers", "pooling", option, "0"]) == 1
    assert f"{option} 0: expected at least 1" in capsys.readouterr().err


def test_lengths_that_are_no_numbers_are_told(toy: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["compare", "toy/trunk", "--mixers", "attention", "--lengths", "8,x"]) == 1
    assert "expected numbers of tokens" in capsys.readouterr().err
