"""What training says of its data before it begins."""

from pathlib import Path
from typing import Any

import pytest

from armillary.core.errors import DataError
from armillary.pipelines import train


def test_what_is_left_out_of_a_split_is_told_with_its_first_reason(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from armillary.pipelines import training

    read = training._items

    def with_problems(*arguments: Any) -> Any:
        taught, validation = read(*arguments)
        taught.problems = (DataError("no sound", item="a7"), DataError("too long", item="b2"))
        return taught, validation

    monkeypatch.setattr(training, "_items", with_problems)
    train("toy/simulated", out=toy / "run", quiet=True, set={"train.steps": 1})
    told = capsys.readouterr().err
    assert "train: 2 problem(s) with the data, the first: " in told
    assert "no sound" in told
    assert "a7" in told
    assert "validation" not in told
