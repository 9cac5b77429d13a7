"""Which folder data and caches lie in."""

from pathlib import Path

import pytest

from armillary.core import paths


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARMILLARY_DATA", raising=False)
    monkeypatch.delenv("ARMILLARY_CACHE", raising=False)


def test_an_explicit_root_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path / "variable"))
    assert paths.data_root(tmp_path / "explicit") == tmp_path / "explicit"


def test_the_variable_wins_over_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    assert paths.data_root() == tmp_path / "cache" / "data"
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path / "variable"))
    assert paths.data_root() == tmp_path / "variable"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", "")
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    assert paths.data_root() == tmp_path / "data"


def test_downloads_never_go_to_the_data_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path / "variable"))
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    assert paths.download_root() == tmp_path / "cache" / "data"


@pytest.mark.skipif("sys.platform != 'linux'", reason="the cache folder is a matter of the platform")
def test_the_cache_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache_root() == tmp_path / "armillary"


def test_a_home_sign_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.data_root(Path("~/data")) == tmp_path / "data"


def test_a_dataset_lies_below_its_domain() -> None:
    assert paths.dataset_folder(Path("root"), "transients", "spcc") == Path("root/transients/spcc")
