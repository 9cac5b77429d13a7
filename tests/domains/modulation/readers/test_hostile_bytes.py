"""Whatever the bytes, a reader gives good frames and DataErrors, and nothing else; it also ends."""

import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.modulation.read import read
from armillary.domains.modulation.settings import ModulationPredict

BUDGET = settings(
    max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None,
    derandomize=True,
)  # fmt: skip


def pair(make: Any) -> dict[str, bytes]:
    meta = make.sigmf(
        captures=[{"core:sample_start": 0}, {"core:sample_start": 40, "core:frequency": 1e8}],
        annotations=[{"core:sample_start": 0, "core:sample_count": 50, "core:label": "QPSK"}],
    )
    return {"a.sigmf-meta": meta.read_bytes(), "a.sigmf-data": make.tone(100).tobytes()}


def hisarmod(make: Any) -> dict[str, bytes]:
    data = make.hisarmod(rows=1)
    return {path.name: path.read_bytes() for path in sorted(data.parent.iterdir(), reverse=True)}


# The first file of each is the one that is damaged.
FILES: dict[str, Callable[[Any], dict[str, bytes]]] = {
    "pickle": lambda make: {"a.pkl": make.rml(per_key=1, length=4).read_bytes()},
    "text pickle": lambda make: {"a.pkl": make.rml(per_key=1, length=4, protocol=0).read_bytes()},
    "packed pickle": lambda make: {"a.pkl.gz": gzip.compress(make.rml(per_key=1, length=4).read_bytes())},
    "hdf5": lambda make: {"a.hdf5": make.hdf5(rows=4, length=4).read_bytes()},
    "hisarmod": hisarmod,
    "sigmf": pair,
    "archive": lambda make: {"a.sigmf": make.tar("a.sigmf", pair(make)).read_bytes()},
    "stereo wav": lambda make: {"a.wav": make.wav("a.wav", make.noise(50, 2) * 100, auxi=bytes(68)).read_bytes()},
    "mono wav": lambda make: {"a.wav": make.wav("a.wav", make.noise(50, 1) * 100).read_bytes()},
    "raw": lambda make: {"a.cf32": make.tone(50).tobytes()},
}


def check(files: dict[str, bytes]) -> None:
    """Reads a folder of these files; what comes must be sound."""
    problems: list[DataError] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        for chunk in read([folder], ReadOptions(problems.append, 16, ModulationPredict(window=4))):
            assert 1 <= chunk.sizes["item"] <= 16
            assert np.isfinite(chunk["iq"].values).all()
            assert (chunk["iq"].values != 0).any((1, 2)).all()
    assert all(isinstance(problem, DataError) for problem in problems)


@pytest.fixture
def sound(make: Any, request: pytest.FixtureRequest) -> dict[str, bytes]:
    return FILES[request.param](make)


@pytest.mark.parametrize("sound", FILES, indirect=True)
@BUDGET
@given(st.data())
def test_changed_bytes_give_good_frames_or_data_errors(sound: dict[str, bytes], data: st.DataObject):
    name, *_ = sound
    content = bytearray(sound[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    check({**sound, name: bytes(content)})


@pytest.mark.parametrize("sound", FILES, indirect=True)
@BUDGET
@given(st.data())
def test_cut_or_doubled_files_give_good_frames_or_data_errors(sound: dict[str, bytes], data: st.DataObject):
    name, *_ = sound
    content = sound[name]
    first, second = (data.draw(st.integers(0, len(content))) for _ in range(2))
    check({**sound, name: content[:first] + content[second:]})


@pytest.mark.parametrize("suffix", [".pkl", ".hdf5", ".sigmf-meta", ".sigmf", ".wav", ".npy", ".cu8"])
@BUDGET
@given(content=st.binary(max_size=200))
def test_any_bytes_under_any_suffix_give_data_errors(suffix: str, content: bytes):
    check({f"a{suffix}": content})
