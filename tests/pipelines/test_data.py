"""The verbs of datasets, on a card of this file's own."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from armillary.core.cards import Card, parse_card
from armillary.core.domain import Domain
from armillary.core.errors import CardError
from armillary.pipelines import data
from armillary.pipelines.plugins import load_domain

CONTENT = b"flux\n1.0\n"
CARD = f"""\
id: waves
version: 2
title: Waves on a string [blue]
domain: acoustics
homepage: https://example.org/waves
citation: ["Euler 1749"]
licence: {{spdx: CC0-1.0, commercial: yes, redistribute: no}}
simulated: no
manual: Ask the string section for the tape.
files:
  - {{path: waves.csv, bytes: {len(CONTENT)}, sha256: {hashlib.sha256(CONTENT).hexdigest()}, about: the tape}}
format: csv
item:
  flux: {{axes: [time], dtype: float32, unit: m, spacing: {{time: 1 s}}}}
  phase: {{dtype: float64, unit: rad}}
splits: {{train: {{rule: "the first half", items: 1200}}, test: {{file: test.txt}}}}
group_key: string
known_problems: ["sampled too coarsely"]
statistics: {{counts: {{sharp: 3, flat: 4}}}}
"""


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    found = parse_card(CARD, "waves.yaml")
    monkeypatch.setattr(data, "find_card", lambda card_id: found)
    return found


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Card:
    text = CARD.replace("simulated: no", "simulated: yes\ngenerator: plucked at random")
    start, end = text.index("manual:"), text.index("format:")
    found = parse_card(text[:start] + text[end:], "waves.yaml")
    monkeypatch.setattr(data, "find_card", lambda card_id: found)
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, int, str]]:
    """What a domain's simulator was asked for."""
    asked: list[tuple[str, Path, int, str]] = []

    def simulate(card_id: str, root: Path, seed: int, size: str) -> Path:
        asked.append((card_id, root, seed, size))
        return root / "acoustics" / card_id

    def domain(name: str) -> Domain:
        return dataclasses.replace(load_domain("transients"), simulate=simulate)

    monkeypatch.setattr(data, "load_domain", domain)
    return asked


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "acoustics" / "waves"
    folder.mkdir(parents=True)
    (folder / "waves.csv").write_bytes(CONTENT)
    return tmp_path / "root"


def test_showing_a_card_tells_all_it_says(card: Card) -> None:
    text = data.show("waves")
    for part in (
        "Waves on a string [blue]", "waves, version 2", "observed", "CC0-1.0 (commercial use allowed", "Euler 1749",
        "the tape", "time every 1 s", "one value", "1,200", "the first half", "test.txt", "! sampled too coarsely",
        "sharp: 3, flat: 4", "string (never straddles splits)", "By hand: Ask the string section",
    ):  # fmt: skip
        assert part in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_simulated_cards_are_labelled(simulated: Card) -> None:
    assert "SIMULATED: plucked at random" in data.show("waves")


def test_checking_right_files_says_so(card: Card, root: Path) -> None:
    text, good = data.check("waves", root)
    assert good
    assert "all files are right" in text


@pytest.mark.parametrize(("content", "status"), [(b"flux\n2.0\n", "digest"), (b"", "size"), (None, "missing")])
def test_checking_wrong_files_names_them(card: Card, root: Path, content: bytes | None, status: str) -> None:
    path = root / "acoustics" / "waves" / "waves.csv"
    path.unlink() if content is None else path.write_bytes(content)
    text, good = data.check("waves", root)
    assert not good
    assert status in text
    assert "1 of 1 files are not right. By hand: Ask the string section" in text


def test_checking_many_files_shows_some_of_those_that_are_not_right(
    card: Card, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:03d}.csv" for number in range(60)]
    files = [card.files[0].model_copy(update={"path": name}) for name in names]
    many = card.model_copy(update={"files": (card.files[0], *files)})
    monkeypatch.setattr(data, "find_card", lambda name: many)
    text, good = data.check("waves", root)
    assert not good
    assert all(name in text for name in names[:20])
    assert names[20] not in text
    assert "and 41 more" in text
    assert "60 of 61 files are not right" in text


def test_checking_a_simulated_dataset_has_nothing_to_compare(simulated: Card, root: Path) -> None:
    text, good = data.check("waves", root)
    assert good
    assert "lists no files to compare" in text


def test_checking_data_that_are_not_here_names_the_next_step(card: Card, tmp_path: Path) -> None:
    with pytest.raises(CardError, match="Ask the string section"):
        data.check("waves", tmp_path)


def test_data_that_are_whole_are_not_fetched(card: Card, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", str(root))
    assert data.fetch("waves") == f"waves: already in {root / 'acoustics' / 'waves'}"


def test_fetching_what_only_a_person_can_get_names_the_steps(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path / "read-only"))
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CardError, match=r"(?s)no address is known for waves\.csv.*Ask the string section"):
        data.fetch("waves")
    assert list(tmp_path.iterdir()) == []


def test_simulating_goes_to_the_cache_and_is_labelled(
    simulated: Card, calls: list[tuple[str, Path, int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path / "read-only"))
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    text = data.simulate("waves", seed=3)
    assert calls == [("waves", tmp_path / "cache" / "data", 3, "default")]
    assert "SIMULATED DATA, seed 3" in text


def test_the_twin_of_a_real_dataset_never_goes_where_a_run_looks(
    card: Card, calls: list[tuple[str, Path, int, str]], tmp_path: Path
) -> None:
    with pytest.raises(CardError, match="--data-root"):
        data.simulate("waves", size="twin")
    data.simulate("waves", tmp_path, size="twin")
    assert calls == [("waves", tmp_path, 0, "twin")]
