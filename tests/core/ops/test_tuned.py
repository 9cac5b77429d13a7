"""Launch configurations without a driver, and looped vmap."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.tuned import Tuned


class Recorder:
    """Stands for a Triton kernel: keeps what it was launched with."""

    def __init__(self) -> None:
        self.launched: list[tuple[object, dict[str, object]]] = []

    def __getitem__(self, grid: object):
        return lambda *arguments, **named: self.launched.append((grid, named))


CONFIGS = ({"BLOCK": 16, "num_warps": 2}, {"BLOCK": 64, "num_warps": 4})


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, so kernels are tuned")
def test_without_a_driver_the_first_configuration_is_launched():
    kernel = Recorder()
    Tuned(kernel, CONFIGS, key=("n",))[(3,)](1, n=5)
    assert kernel.launched == [((3,), {"n": 5, **CONFIGS[0]})]


@pytest.mark.parametrize("index", [0, 1])
def test_a_pinned_configuration_is_launched_and_let_go(index: int):
    kernel = Recorder()
    tuned = Tuned(kernel, CONFIGS)
    with tuned.pinned(index) as config:
        assert config == CONFIGS[index]
        tuned[(1,)]()
    assert kernel.launched[0][1] == CONFIGS[index]
    assert tuned._pinned is None


def test_importing_the_kernels_asks_for_no_driver():
    """torch would start CUDA on the first question; importing a tier must not ask."""
    code = (
        "import torch\n"
        "def refuse(*a, **k): raise AssertionError('the driver was asked')\n"
        "torch.cuda.is_available = torch.cuda._lazy_init = torch.cuda.device_count = refuse\n"
        "from armillary.core.ops.table import OPS\n"
        "for op in OPS.values():\n"
        "    for tier in op.tiers:\n"
        "        op.load(tier)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_vmap_loops_over_an_operator():
    @custom_op("tests_scaled")
    def scaled(x: Tensor, factor: float) -> Tensor:
        return x * factor

    @scaled.register_fake
    def _(x: Tensor, factor: float) -> Tensor:
        return torch.empty_like(x)

    x = torch.randn(4, 3)
    mapped = torch.func.vmap(lambda row: scaled(row, 2.0), in_dims=1, out_dims=1)(x)
    assert torch.equal(mapped, 2 * x)
