"""Domains and cards are found, and a broken plugin spoils no other."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from armillary.core.errors import CardError, PluginError
from armillary.pipelines import plugins

CARD = """\
id: {id}
version: 1
title: Waves
domain: {domain}
citation: ["Euler 1749"]
licence: {{spdx: CC0-1.0, commercial: yes, redistribute: yes}}
simulated: yes
generator: plucked at random
format: csv
item: {{flux: {{axes: [time], dtype: float32}}}}
splits: {{train: {{rule: all}}}}
group_key: string
"""
DOMAIN = """\
from dataclasses import replace
from armillary.domains.transients import DOMAIN as OTHER
DOMAIN = replace(OTHER, name="{name}", cards="{cards}")
"""


class Installation:
    """Writes plugins into a folder on the path and announces them as entry points."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.entries = folder, list[EntryPoint]()
        self._patch = monkeypatch
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setattr(plugins, "entry_points", lambda group: tuple(self.entries))

    def add(self, name: str, code: str, module: str | None = None) -> None:
        module = module or f"plugin_{name}"
        self._patch.delitem(sys.modules, module, raising=False)
        (self.folder / f"{module}.py").write_text(code)
        self.entries.append(EntryPoint(name, f"{module}:DOMAIN", plugins.GROUP))

    def add_domain(self, name: str, **cards: str) -> None:
        package = self.folder / f"cards_{name}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        for card_id, text in cards.items():
            (package / f"{card_id}.yaml").write_text(text)
        self._patch.delitem(sys.modules, package.name, raising=False)
        self.add(name, DOMAIN.format(name=name, cards=package.name))


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    return Installation(tmp_path, monkeypatch)


def test_the_domain_in_the_box_is_installed_and_loads() -> None:
    assert plugins.load_domain("transients").name == "transients"
    assert "transients" not in plugins.broken_domains()


def test_domains_and_cards_load_without_torch() -> None:
    code = "import sys; from armillary.pipelines import plugins; plugins.load_domains(); plugins.all_cards()"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("raise RuntimeError('no licence server')", "RuntimeError: no licence server"),
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("DOMAIN = (", "SyntaxError"),
        ("OTHER = 1", "AttributeError"),
        ("DOMAIN = 'text'", "plugin_bad:DOMAIN is a str; expected a Domain"),
        (DOMAIN.format(name="else", cards="x"), "plugin_bad:DOMAIN calls itself 'else'; expected 'bad'"),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_load(installation: Installation, code: str, error: str) -> None:
    installation.add("bad", code)
    installation.add_domain("good")
    assert list(plugins.load_domains()) == ["good"]
    assert list(plugins.broken_domains()) == ["bad"]
    with pytest.raises(PluginError) as caught:
        plugins.load_domain("bad")
    assert "the domain 'bad' is installed but does not load: " in str(caught.value)
    assert error in str(caught.value)


def test_an_unknown_domain_gives_the_near_miss(installation: Installation) -> None:
    installation.add_domain("acoustics")
    installation.add_domain("optics")
    with pytest.raises(PluginError, match=r"no domain 'acustics' is installed; did you mean 'acoustics'\?.*optics"):
        plugins.load_domain("acustics")


def test_one_name_claimed_by_two_packages_is_broken(installation: Installation) -> None:
    installation.add_domain("acoustics")
    installation.add("acoustics", DOMAIN.format(name="acoustics", cards="x"), module="another")
    assert plugins.load_domains() == {}
    assert "claimed by several packages (another:DOMAIN, plugin_acoustics:DOMAIN)" in str(
        plugins.broken_domains()["acoustics"]
    )


def test_an_entry_point_seen_twice_counts_once(installation: Installation) -> None:
    installation.add_domain("acoustics")
    installation.entries *= 2
    assert list(plugins.load_domains()) == ["acoustics"]


def test_cards_of_all_domains_are_listed_by_id(installation: Installation) -> None:
    installation.add_domain("acoustics", waves=CARD.format(id="waves", domain="acoustics"))
    installation.add_domain("optics", beams=CARD.format(id="beams", domain="optics"))
    assert list(plugins.all_cards()) == ["beams", "waves"]
    assert plugins.find_card("waves").domain == "acoustics"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("id: tides\n", "is missing"),
        (CARD.format(id="tides", domain="optics"), "says domain optics; expected seas"),
        (CARD.format(id="waves", domain="seas"), "'waves' is in tides.yaml"),
    ],
)
def test_broken_cards_of_one_domain_spoil_no_other(installation: Installation, text: str, error: str) -> None:
    installation.add_domain("acoustics", waves=CARD.format(id="waves", domain="acoustics"))
    installation.add_domain("seas", tides=text)
    assert list(plugins.all_cards()) == ["waves"]
    assert error in str(plugins.broken_cards()["seas"])
    with pytest.raises(CardError) as caught:
        plugins.find_card("tides")
    assert "The cards of seas could not be read" in str(caught.value)


def test_an_id_that_two_domains_use_is_refused(installation: Installation) -> None:
    installation.add_domain("acoustics", waves=CARD.format(id="waves", domain="acoustics"))
    installation.add_domain("seas", waves=CARD.format(id="waves", domain="seas"))
    assert plugins.find_card("waves").domain == "acoustics"
    assert "the card 'waves' is also acoustics's" in str(plugins.broken_cards()["seas"])


def test_an_unknown_card_gives_the_near_miss(installation: Installation) -> None:
    installation.add_domain("acoustics", waves=CARD.format(id="waves", domain="acoustics"))
    with pytest.raises(CardError, match="no card 'wave'; did you mean 'waves'"):
        plugins.find_card("wave")


def test_a_missing_package_of_cards_is_named(installation: Installation) -> None:
    installation.add("acoustics", DOMAIN.format(name="acoustics", cards="no_such_cards"))
    assert "no_such_cards, is not there" in str(plugins.broken_cards()["acoustics"])
