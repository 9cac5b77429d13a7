"""Operators written out for other programs compute what the originals do; mixers go through both formats."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from armillary.core.ops.selective_scan import portable
from armillary.pipelines import train
from armillary.pipelines.export_forms import cummax, scan, searchsorted

SEEDS = st.integers(0, 2**16)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(SEEDS, st.integers(1, 9), st.sampled_from([0, 1, -1]))
def test_the_running_maximum_is_torchs(seed: int, length: int, dim: int):
    values = draw(seed, 3, length)
    for given_values in (values, (3 * values).long()):
        largest, place = cummax(given_values, dim)
        expected = torch.cummax(given_values, dim)
        assert torch.equal(largest, expected.values)
        assert torch.equal(place, expected.indices)


@given(SEEDS, st.integers(1, 9), st.booleans(), st.booleans())
def test_the_place_among_levels_is_torchs(seed: int, length: int, right: bool, narrow: bool):
    levels = (2 * draw(seed, length)).round().sort().values
    values = (2 * draw(seed + 1, 4, 3)).round()  # ties with the levels
    found = searchsorted(levels, values, right=right, out_int32=narrow)
    assert torch.equal(found, torch.searchsorted(levels, values, right=right, out_int32=narrow))
    assert found.dtype == (torch.int32 if narrow else torch.int64)


@pytest.mark.parametrize("length", [1, 2, portable.CHUNK - 1, portable.CHUNK, 2 * portable.CHUNK + 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_scan_by_doubling_is_the_portable_one(length: int, groups: int):
    x, B, C = draw(0, 2, length, 4), draw(1, 2, length, groups, 3), draw(2, 2, length, groups, 3)
    dt, A, initial = draw(3, 2, length, 4).exp() / 10, -draw(4, 4, 3).exp(), draw(5, 2, 4, 3)
    found = scan(x, dt, A, B, C, initial, portable.CHUNK)
    expected = torch.ops.armillary.selective_scan_portable(x, dt, A, B, C, initial, portable.CHUNK)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, rtol=1e-4, atol=1e-5)  # another order of sums


def test_a_recurrence_is_written_out(toy: Path):
    run = train(
        "toy/trunk",
        out=toy / "run",
        quiet=True,
        set={"model.trunk.pattern": [{"kind": "mamba"}], "model.trunk.depth": 1, "train.steps": 1},
    )
    # A process of its own: while a program is traced its sizes are symbols, which the checks of tests refuse.
    command = [sys.executable, "-m", "armillary.pipelines.cli", "export", str(run.folder.path), "--onnx"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for card in json.loads(done.stdout).values():
        assert card["parity"]["largest difference"]["probability"] <= 1e-4
