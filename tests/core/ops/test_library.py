"""The native library: found or not, opened or not, and safe beside forked workers."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from armillary.core.ops import library
from armillary.core.ops.library import LEVELS, cpu_level, library_problem

SCAN = """
import torch
from torch.utils.data import DataLoader, Dataset
from armillary.core.ops import polynorm

torch.set_num_threads(2)
weight, bias = torch.ones(3), torch.zeros(())

class Items(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return polynorm(torch.full((64, 512), float(index)), weight, bias).sum()

first = polynorm(torch.randn(512, 512), weight, bias)  # threads of OpenMP exist from here on
print(len(list(DataLoader(Items(), num_workers=2, multiprocessing_context="fork"))))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The library is looked for in an empty folder."""
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    library_problem.cache_clear()
    yield tmp_path
    library_problem.cache_clear()


def test_a_library_that_was_not_built_is_told(folder: Path):
    assert "is not built" in str(library_problem())


def test_a_library_for_another_processor_is_told_and_not_opened(folder: Path):
    # An ELF header for 64-bit ARM.
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + (3).to_bytes(2, "little") + (183).to_bytes(2, "little")
    (folder / "libarmillary.so").write_bytes(header + bytes(200))
    assert "does not open here" in str(library_problem())


def test_a_damaged_library_is_told(folder: Path):
    (folder / "libarmillary.so").write_bytes(b"not a library")
    assert "does not open here" in str(library_problem())


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("int something() { return 1; }", "does not tell its interface"),
        ('extern "C" int armillary_interface() { return 999; }', "has interface 999, this version needs"),
    ],
)
def test_another_library_is_told(folder: Path, source: str, told: str):
    (folder / "a.cpp").write_text(source)
    path = folder / "libarmillary.so"
    subprocess.run(["g++", "-shared", "-fPIC", str(folder / "a.cpp"), "-o", str(path)], check=True)
    assert told in str(library_problem())


def test_every_level_of_this_processor_gives_the_same_values(native: None):
    """Other instruction sets are other code; each is called in a process of its own."""
    code = (
        "import torch; from armillary.core.ops import polynorm; from armillary.core.ops.library import cpu_level;"
        "x = torch.linspace(-3, 3, 37 * 19).reshape(37, 19);"
        "print(cpu_level(), float(polynorm(x, torch.tensor([0.3, -0.2, 0.5]), torch.tensor(0.1)).double().norm()))"
    )
    found: dict[str, float] = {}
    for level in LEVELS[: LEVELS.index(cpu_level()) + 1]:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, library.LEVEL_OVERRIDE: level},
        )  # fmt: skip
        name, norm = done.stdout.split()
        assert name == level
        found[level] = float(norm)
    assert max(found.values()) == pytest.approx(min(found.values()), rel=1e-6)


def test_a_level_that_is_not_there_is_told(native: None, monkeypatch: pytest.MonkeyPatch):
    from armillary.core.errors import ConfigError

    cpu_level.cache_clear()
    monkeypatch.setenv(library.LEVEL_OVERRIDE, "avx1024")
    with pytest.raises(ConfigError, match="expected one of generic"):
        cpu_level()
    cpu_level.cache_clear()


def test_a_worker_forked_after_a_threaded_call_does_not_hang(native: None):
    done = subprocess.run([sys.executable, "-c", SCAN], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "4", done.stderr


def test_kernels_are_told_the_number_of_torchs_threads(native: None, monkeypatch: pytest.MonkeyPatch):
    got: list[int] = []

    class Fake:
        def __getattr__(self, name: str):
            def function(*arguments: ctypes.c_int64) -> None:
                got.append(arguments[-1].value)

            return function

    cpu_level()
    library.kernel.cache_clear()
    monkeypatch.setattr(library, "_library", Fake)
    threads = torch.get_num_threads()
    library.kernel("something")(torch.zeros(1), None, 3, 0.5)
    assert got == [threads]
    library.kernel.cache_clear()
