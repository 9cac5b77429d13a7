"""Traps of the mapped packages, each with its guard."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("core", "domains", "pipelines", "data_cards")


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter, started in another folder."""
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def ruff(code: str) -> str:
    """What the linter says of a module with this code."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--output-format", "concise",
         "--stdin-filename", str(ROOT / "core" / "planted.py"), "-"],
        input=code, capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_not_importable_under_its_plain_name(name: str, tmp_path: Path):
    done = python(f"import {name}", tmp_path)
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("name", FOLDERS)
def test_no_second_copy_is_loaded_in_this_process(name: str):
    __import__(f"armillary.{name}")
    assert name not in sys.modules
    assert f"armillary.{name}" in sys.modules


@pytest.mark.parametrize("name", FOLDERS)
def test_the_linter_bans_the_plain_name(name: str):
    assert "TID251" in ruff(f'"""x."""\n\nimport {name}\n\n{name}\n')


def test_the_linter_bans_relative_imports():
    assert "TID252" in ruff('"""x."""\n\nfrom .tokens import Tokens\n\nTokens\n')


def test_every_folder_with_modules_is_a_package():
    """find_packages passes over a folder without __init__.py, and the wheel would lack it."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py"


def test_links_for_the_type_checker_lead_to_the_sources():
    for folder in FOLDERS:
        assert (ROOT / ".typing" / "armillary" / folder).resolve() == ROOT / folder


def test_the_version_is_the_distributions(tmp_path: Path):
    done = python("from armillary.pipelines.cli import main; main(['--version'])", tmp_path)
    assert done.stdout.strip() == f"armillary {version('armillary')}"


def test_help_loads_neither_torch_nor_a_domain(tmp_path: Path):
    code = (
        "import sys\n"
        "from armillary.pipelines.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pydantic', 'numpy', 'xarray', 'rich', 'lightning', 'armillary.domains.transients'}\n"
        "loaded = sorted(heavy & set(sys.modules))\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "evaluate" in done.stdout


def test_a_package_in_compat_mode_is_not_what_is_installed():
    """`editable_mode=compat` would put the root itself on the path and make plain `core` importable."""
    assert str(ROOT) not in sys.path
