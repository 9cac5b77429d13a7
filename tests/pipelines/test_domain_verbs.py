"""A domain's own verbs: what there is, and those that work on a finished run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from armillary.core.domain import OpenRun
from armillary.core.errors import RunError
from armillary.pipelines import train
from armillary.pipelines.cli import main
from armillary.pipelines.domain_verbs import verbs_of


def mix(arguments: Sequence[str]) -> int:
    """Mixes waves."""
    print("mixed", *arguments)
    return 3


def tell(open_run: OpenRun, arguments: Sequence[str]) -> int:
    """Tells what a run is.

    More of it.
    """
    if arguments == ["--help"]:
        print("how to tell")
        return 0
    run = open_run(Path(arguments[0]))
    assert isinstance(run.model, torch.nn.Module)
    assert not run.model.training
    print(run.name, run.config.recipe, *arguments[1:])
    return 0


@pytest.fixture
def verbs(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy domain with two verbs."""
    import armillary_toy

    changed = replace(armillary_toy.DOMAIN, commands={"mix": mix}, run_commands={"tell": tell})
    monkeypatch.setattr(armillary_toy, "DOMAIN", changed)
    return toy


@pytest.mark.parametrize("arguments", [["toy"], ["toy", "--help"], ["toy", "-h"]])
def test_a_domain_lists_its_verbs(verbs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]):
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "armillary toy VERB" in said
    assert "mix\tMixes waves." in said
    assert "tell\tTells what a run is." in said


def test_a_verb_gets_its_arguments_and_gives_the_exit_code(verbs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["toy", "mix", "a", "--b"]) == 3
    assert capsys.readouterr().out == "mixed a --b\n"


def test_a_verb_opens_a_finished_run(verbs: Path, capsys: pytest.CaptureFixture[str]):
    train("toy/simulated", out=verbs / "mine", quiet=True, epochs=1)
    assert main(["toy", "tell", "mine", "--hop-ms", "20"]) == 0
    assert capsys.readouterr().out == "mine toy/simulated --hop-ms 20\n"


def test_a_verb_of_a_run_tells_its_help_without_one(verbs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["toy", "tell", "--help"]) == 0
    assert capsys.readouterr().out == "how to tell\n"


def test_a_run_that_is_not_there_is_told(verbs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["toy", "tell", "nowhere"]) == 1
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_a_run_of_another_domain_is_refused(verbs: Path):
    import armillary_toy

    train("toy/simulated", out=verbs / "mine", quiet=True, epochs=1)
    call = verbs_of(replace(armillary_toy.DOMAIN, name="other"))["tell"]
    with pytest.raises(RunError, match="mine: a run of toy; expected one of other"):
        call(["mine"])


def test_an_unknown_verb_is_told(verbs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["toy", "tall"]) == 1
    assert "toy has no verb 'tall'. It has: mix, tell." in capsys.readouterr().err
