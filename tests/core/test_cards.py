"""Data cards: reading, errors with their line, listing, verifying, locating."""

import hashlib
import sys
from pathlib import Path

import pytest
import yaml

from armillary.core import cards
from armillary.core.errors import CardError

CONTENT = b"flux\n1.0\n"
CARD = f"""\
id: waves
version: 1
title: Waves on a string
domain: acoustics
homepage: https://example.org/waves
citation: ["Euler 1749"]
licence: {{spdx: CC0-1.0, commercial: yes, redistribute: yes}}
simulated: no
manual: Copy waves.csv from the homepage.
files:
  - path: waves.csv
    bytes: {len(CONTENT)}
    sha256: {hashlib.sha256(CONTENT).hexdigest()}
format: csv
item:
  flux: {{axes: [time], dtype: float32, unit: m, spacing: {{time: 1 s}}}}
splits:
  train: {{rule: "the first half"}}
  test: {{file: test.txt, items: 3}}
group_key: string
known_problems: ["sampled too coarsely"]
statistics: {{items: 6, counts: {{"90": 3}}}}
about: {{equation: "the wave equation", speed: 2.0}}
"""


def changed(**fields: object) -> str:
    """CARD with fields set, or removed where the value is ..."""
    data = yaml.safe_load(CARD) | fields
    return yaml.safe_dump({key: value for key, value in data.items() if value is not ...}, sort_keys=False)


def test_a_card_keeps_what_it_says_and_cannot_be_changed() -> None:
    card = cards.parse_card(CARD, "waves.yaml")
    assert (card.id, card.version, card.item["flux"].unit) == ("waves", 1, "m")
    assert card.statistics["counts"] == {"90": 3}
    assert str(card.licence) == "CC0-1.0 (commercial use allowed, redistribution allowed)"
    with pytest.raises(ValueError, match="frozen"):
        card.id = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("group_key:", "group_kee:", 20, "group_kee: no such field in Card; did you mean 'group_key'?"),
        ("group_key: string\n", "", 1, "group_key: is missing"),
        ("spdx: CC0-1.0, ", "", 7, "licence: a licence needs spdx"),
        ("commercial: yes", "commercial: maybe", 7, "licence.commercial: expected a valid boolean"),
        ("    sha256: ", "    sha265: ", 13, "files.0.sha265: no such field in CardFile; did you mean 'sha256'?"),
        ("path: waves.csv", "path: ../waves.csv", 11, "files.0.path: a path is relative"),
        ("path: waves.csv", "path: /etc/passwd", 11, "files.0.path: a path is relative"),
        ("path: waves.csv", "path: 'C:\\waves.csv'", 11, "files.0.path: a path is relative"),
        ("unit: m,", "unit: m, rte: 1 Hz,", 16, "item.flux.rte: no such field in ItemArray; did you mean 'rate'?"),
        ('{rule: "the first half"}', "{items: 3}", 18, "splits.train: a split needs file"),
        ("manual: Copy waves.csv from the homepage.\n", "", 1, "files without a url need manual"),
        ("bytes: 9", "bytes: -9", 12, "files.0.bytes: expected greater than or equal to 0, got -9"),
        ("id: waves", "id: Waves!", 1, "id: should match pattern"),
        ("domain: acoustics", "domain: acoustics\nid: again", 5, "'id' is set a second time; line 1 has it too"),
        ("format: csv", "format: [csv", 15, "not YAML"),
        ("format: csv", "format: &a csv\nabout: *a", 14, "anchors and aliases are not used"),
        ("format: csv", "format: csv\ngenerator: pluck", 1, "a card with a generator is of simulated data"),
        ("https://example.org/waves", "javascript:alert(1)", 5, "homepage: should match pattern"),
    ],
)
def test_a_broken_card_is_refused_with_its_line(old: str, new: str, line: int, message: str) -> None:
    assert old in CARD
    with pytest.raises(CardError) as caught:
        cards.parse_card(CARD.replace(old, new, 1), "waves.yaml")
    assert f"waves.yaml:{line}: " in str(caught.value)
    assert message in str(caught.value)


def test_all_problems_of_a_card_are_told_at_once() -> None:
    with pytest.raises(CardError) as caught:
        cards.parse_card(changed(title="", group_key=..., format=3), "waves.yaml")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text"])
def test_text_that_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(CardError, match="expected a mapping"):
        cards.parse_card(text, "waves.yaml")


def test_deep_nesting_is_refused_without_a_crash() -> None:
    with pytest.raises(CardError, match="not YAML"):
        cards.parse_card("[" * 1500, "waves.yaml")


def test_a_file_with_an_address_needs_a_digest() -> None:
    files = [{"path": "a.csv", "url": "https://example.org/a.csv"}]
    with pytest.raises(CardError, match="a file with a url needs bytes and sha256"):
        cards.parse_card(changed(files=files), "waves.yaml")


def test_a_file_listed_twice_is_refused() -> None:
    with pytest.raises(CardError, match=r"listed twice: a\.csv"):
        cards.parse_card(changed(files=[{"path": "a.csv"}, {"path": "a.csv"}]), "waves.yaml")


def test_a_simulated_card_needs_no_files() -> None:
    card = cards.parse_card(changed(files=..., simulated=True, generator="plucked at random"), "waves.yaml")
    assert card.files == ()


def test_a_missing_file_and_wrong_encoding_are_named(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"absent\.yaml: cannot be read \(No such file"):
        cards.load_card(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes("title: Größe".encode("latin-1"))
    with pytest.raises(CardError, match=r"latin\.yaml: not UTF-8 text at byte"):
        cards.load_card(tmp_path / "latin.yaml")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cards_of_a_plugin"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder


def test_the_cards_of_a_package_are_listed_by_id(package: Path) -> None:
    for name in ("waves", "beats"):
        (package / f"{name}.yaml").write_text(changed(id=name))
    assert list(cards.list_cards(package.name)) == ["beats", "waves"]


def test_a_card_in_a_file_of_another_name_is_refused(package: Path) -> None:
    (package / "tides.yaml").write_text(CARD)
    with pytest.raises(CardError, match=r"'waves' is in tides\.yaml; name the file waves\.yaml"):
        cards.list_cards(package.name)


@pytest.mark.parametrize(
    ("content", "status"), [(CONTENT, "ok"), (None, "missing"), (CONTENT + b"!", "size"), (b"flux\n2.0\n", "digest")]
)
def test_verifying_tells_what_is_wrong_with_each_file(tmp_path: Path, content: bytes | None, status: str) -> None:
    if content is not None:
        (tmp_path / "waves.csv").write_bytes(content)
    found = cards.verify(cards.parse_card(CARD, "waves.yaml"), tmp_path)
    assert [check.status for check in found.checks] == [status]
    assert found.ok == (status == "ok")


def test_a_file_without_a_digest_is_present_but_not_verified(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a")
    found = cards.verify(cards.parse_card(changed(files=[{"path": "a.csv"}]), "waves.yaml"), tmp_path)
    assert [check.status for check in found.checks] == ["present"]
    assert found.ok


def test_a_dataset_is_found_below_the_root_then_below_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    card = cards.parse_card(CARD, "waves.yaml")
    with pytest.raises(CardError, match=r"(?s)looked in .*root/acoustics/waves and .*Copy waves\.csv"):
        cards.locate(card, tmp_path / "root")
    below_cache = tmp_path / "cache" / "data" / "acoustics" / "waves"
    below_cache.mkdir(parents=True)
    assert cards.locate(card, tmp_path / "root") == below_cache
    below_root = tmp_path / "root" / "acoustics" / "waves"
    below_root.mkdir(parents=True)
    assert cards.locate(card, tmp_path / "root") == below_root
