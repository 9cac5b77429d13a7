"""Overrides: what they change, where a value came from, and what a broken one says."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from armillary.core.config import OptimSettings, RunConfig, Settings, TrainSettings
from armillary.core.config.mixers import AttentionSettings, MambaSettings, MixerSettings
from armillary.core.config.overrides import parse_set, read_yaml, resolve
from armillary.core.config.walk import leaves
from armillary.core.errors import ConfigError


class Data(Settings):
    """Settings of a made-up domain."""

    rate: float = Field(8000.0, gt=0)
    bands: tuple[str, ...] = ("g", "r")
    classes: dict[str, tuple[str, ...]] = Field({"a": ("1",)})
    mode: Literal["none", "all"] = "none"


class Model(Settings):
    """A model with one mixer and a pattern of them."""

    mixer: MixerSettings = AttentionSettings()
    pattern: tuple[MixerSettings, ...] = (AttentionSettings(), MambaSettings())
    extra: MixerSettings | None = None


class Run(RunConfig):
    """A complete configuration."""

    data: Data = Data()
    model: Model = Model()


BASE = Run(recipe="made-up/base")


def resolved(*texts: str) -> Run:
    """BASE with --set overrides."""
    return resolve(BASE, [parse_set(text) for text in texts]).config


def test_an_override_changes_its_value_and_nothing_else():
    config = resolved("optim.lr=1e-4", "data.bands=[u]", "train.epochs=3")
    assert config.optim == OptimSettings(lr=1e-4)
    assert config.data == Data(bands=("u",))
    assert config.train == TrainSettings(epochs=3)
    assert config.model == BASE.model


def test_a_later_override_wins_and_is_the_origin():
    found = resolve(BASE, [parse_set("optim.lr=1"), parse_set("optim.lr=2")])
    assert found.config.optim.lr == 2
    assert found.origin("optim.lr") == "--set optim.lr=2"
    assert found.origin("optim.clip_norm") == "recipe made-up/base"


def test_another_kind_starts_from_its_own_defaults():
    config = resolved("model.mixer.kind=mamba", "model.mixer.state=8")
    assert config.model.mixer == MambaSettings(state=8)


def test_a_place_in_a_pattern_can_be_set():
    config = resolved("model.pattern.1.state=4")
    assert config.model.pattern == (AttentionSettings(), MambaSettings(state=4))


def test_yaml_numbers_in_scientific_notation_are_numbers(tmp_path: Path):
    file = tmp_path / "my.yaml"
    file.write_text("optim:\n  lr: 1e-5\ndata:\n  classes: {x: ['7'], y: ['8']}\n")
    found = resolve(BASE, read_yaml(file, BASE))
    assert found.config.optim.lr == 1e-5
    assert dict(found.config.data.classes) == {"x": ("7",), "y": ("8",)}
    assert found.origin("optim.lr") == f"{file}:2"


def test_an_empty_yaml_changes_nothing(tmp_path: Path):
    file = tmp_path / "my.yaml"
    file.write_text("# nothing yet\n")
    assert resolve(BASE, read_yaml(file, BASE)).config == BASE


def test_leaves_cover_every_setting_once():
    paths = [path for path, _ in leaves(BASE)]
    assert len(paths) == len(set(paths))
    assert {"recipe", "seed", "optim.lr", "data.classes", "model.pattern.1.state"} <= set(paths)


BROKEN_SETS = [
    ("optim.lr", "expected path=value"),
    ("=3", "expected path=value"),
    ("optim.lr=[1", "the value is not YAML"),
    ("optim.lr=abc", "optim.lr: expected a valid number, unable to parse string as a number, got 'abc'"),
    ("optim.lr=-1", "optim.lr: expected greater than 0, got -1"),
    ("optim.lr=.nan", "optim.lr: expected a finite number, got nan"),
    ("optim.lr=null", "optim.lr: expected a valid number, got None"),
    ("optim.lrr=1", "optim.lrr: no such setting in OptimSettings; did you mean 'lr'?"),
    ("optim.warmup=1", "did you mean 'warmup_steps'?  (it has: algorithm, average_decay"),
    ("optm.lr=1", "optm.lr: no such setting in Run; did you mean 'optim'?"),
    ("lr=1", "lr: no such setting in Run"),
    ("lr=1", "Misplaced? There is optim.lr."),
    ("train.lr=1", "Misplaced? There is optim.lr."),
    ("optim.lr.x=1", "optim.lr is a single value, it has no 'x'"),
    ("distill.share=0.5", "it has no 'share'; set it as a whole: --set 'distill={share: 0.5}'"),
    ("optim=3", "optim: expected a valid dictionary or instance of OptimSettings, got 3"),
    ("seed=-1", "seed: expected greater than or equal to 0, got -1"),
    ("seed=1.5", "seed: expected a valid integer, got a number with a fractional part, got 1.5"),
    ("recipe=other/x", "the recipe cannot be overridden"),
    ("optim.algorithm=sgd", "optim.algorithm: expected 'adam', 'adamw' or 'muon', got 'sgd'"),
    ("optim.betas=[0.9]", "optim.betas.1: field required"),
    ("optim.betas=[0.9, 0.99, 0.999]", "optim.betas: tuple should have at most 2 items"),
    ("optim.betas.2=0.5", "'2' is no place in a list of 2; places count from 0 to 1"),
    ("optim.betas.x=0.5", "'x' is no place in a list of 2"),
    ("optim.average_decay=1", "optim.average_decay: expected less than 1, got 1"),
    ("train.epochs=0", "train.epochs: expected greater than 0, got 0"),
    ("train.precision=half", "train.precision: expected 'float32', 'bfloat16' or 'float16', got 'half'"),
    ("data.mode=some", "data.mode: expected 'none' or 'all', got 'some'"),
    ("data.bands=5", "data.bands: expected a valid tuple, got 5"),
    ("data.classes={a: 1}", "data.classes.a: expected a valid tuple, got 1"),
    ("data.sample_rate=1", "data.sample_rate: no such setting in Data"),
    ("model.mixer.kind=conv", "model.mixer: unknown kind"),
    ("model.mixer.state=8", "model.mixer.state: no such setting in AttentionSettings"),
    ("model.mixer.state=8", "Misplaced? There is model.pattern.1.state."),
    ("model.mixer.heads=0", "model.mixer.heads: expected greater than 0, got 0"),
    ("model.pattern.5.heads=2", "'5' is no place in a list of 2"),
    ("model.pattern.0.head=2", "no such setting in AttentionSettings; did you mean 'heads'?"),
    ("evaluate.confidence=95", "evaluate.confidence: expected less than 1, got 95"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN_SETS, ids=[f"{i}-{t}" for i, (t, _) in enumerate(BROKEN_SETS)])
def test_a_broken_setting_says_where_and_what(text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        resolved(text)
    assert message in str(caught.value)
    assert f"--set {text}" in str(caught.value)


BROKEN_FILES = [
    ("optim:\n  lr: 1e-3\n  stepz: 4\n", ":3: optim.stepz: no such setting in OptimSettings"),
    ("seed: 1\nseed: 2\n", ":2: 'seed' is set a second time; line 1 has it too."),
    ("optim:\n  lr: 1\n  lr: 2\n", ":3: 'optim.lr' is set a second time; line 2 has it too."),
    ("- 1\n- 2\n", ":1: expected a mapping such as"),
    ("just text\n", ":1: expected a mapping such as"),
    ("optim:\n\tlr: 1\n", ":2: not YAML"),
    ("optim: {lr: 1\n", "not YAML"),
    ("data:\n  rate: !!python/object/apply:os.system ['true']\n", ":2: not YAML"),
    ("data:\n  rate: fast\n", ":2: data.rate: expected a valid number"),
    ("data:\n  rate: 0\n", ":2: data.rate: expected greater than 0, got 0"),
    ("train: 5\n", ":1: train: expected a valid dictionary or instance of TrainSettings, got 5"),
    ("model:\n  mixer:\n    kind: mamba\n    heads: 2\n", ":4: model.mixer.heads: no such setting in MambaSettings"),
    ("model:\n  extra: {kind: mamba, heads: 2}\n", "model.extra.heads: no such setting in MambaSettings"),
    ("epochs: 5\n", "Misplaced? There is train.epochs."),
]


@pytest.mark.parametrize(("text", "message"), BROKEN_FILES, ids=range(len(BROKEN_FILES)))
def test_a_broken_file_says_file_line_and_what(tmp_path: Path, text: str, message: str):
    file = tmp_path / "my.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(BASE, read_yaml(file, BASE))
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_several_problems_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        resolved("optim.lr=-1", "train.epochs=0")
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_and_a_binary_file_are_errors(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_yaml(tmp_path / "none.yaml", BASE)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"seed: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text at byte 6"):
        read_yaml(binary, BASE)
