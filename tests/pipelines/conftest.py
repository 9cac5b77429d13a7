"""The toy domain as an installed plugin, for this process and for those it starts."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOY = Path(__file__).parent / "toy"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, with the domain 'toy' found through its entry point and the cache inside."""
    site = tmp_path / "site"
    info = site / "armillary_toy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: armillary-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[armillary.domains]\ntoy = armillary_toy:DOMAIN\n")
    for path in (TOY, site):
        monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TOY), str(site)]))
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ARMILLARY_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("armillary_toy")]:
        del sys.modules[name]
