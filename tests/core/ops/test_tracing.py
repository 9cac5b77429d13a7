"""The ops under the compiler and exporter of torch, in a process of their own."""

import os
import subprocess
import sys

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from armillary.core.ops import grid_paths, selective_scan


def test_a_path_that_is_traced_is_taken_as_it_is() -> None:
    with FakeTensorMode():
        x, rows = torch.ones(2, 5, 4), torch.ones(2, 5, 1, 3)
        y, _ = selective_scan(x, x, torch.ones(4, 3), rows, rows, path=torch.arange(5))
    assert y.shape == x.shape


COMPILED = """
import warnings

import torch

warnings.simplefilter("error")
from armillary.core.ops import grid_paths, neighbourhood_attention, polynorm, rational, selective_scan


class All(torch.nn.Module):
    def forward(self, x, dt, A, B, numerator, denominator):
        path, _ = grid_paths((2, 3), x.device)
        y, _ = selective_scan(x, dt, A, B, B, z=x, path=path)
        y = rational(polynorm(y, numerator[0, :3], numerator[0, 3]), numerator, denominator)
        heads = y.unflatten(-1, (2, 2))
        settings = {"dilation": (1,), "causal": (False,), "periodic": (False,)}
        return neighbourhood_attention(heads, heads, heads, window=(3,), **settings)


inputs = [torch.randn(2, 6, 4), torch.rand(2, 6, 4), -torch.rand(4, 2), torch.randn(2, 6, 1, 2)]
inputs = [value.requires_grad_() for value in (*inputs, torch.randn(1, 6), torch.randn(2, 4))]
module = All()
expected = module(*inputs)
slopes = torch.autograd.grad(expected.sum(), inputs)
found = torch.compile(module, backend="aot_eager", fullgraph=True)(*inputs)
torch.testing.assert_close(found, expected)
for one, other in zip(torch.autograd.grad(found.sum(), inputs), slopes):
    torch.testing.assert_close(one, other)
program = torch.export.export(module, tuple(inputs), strict=False)
torch.testing.assert_close(program.module()(*inputs), expected)
# Nothing of a trace is kept by what comes after it.
torch.testing.assert_close(module(*inputs), expected)
"""

IMPORTED = """
import sys

import torch

before = set(sys.modules)
from armillary.core import ops

brought = set(sys.modules) - before
slow = {name for name in brought if name.startswith(("triton", "torch._dynamo", "torch._inductor"))}
sys.exit(f"importing the ops brings in {sorted(slow)[:5]}" if slow else 0)
"""


def in_another_process(code: str, **environment: str) -> None:
    """Without the shape checks of the tests, which a compiler does not see through."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_ops_compile_into_one_graph_and_can_be_exported(native: None) -> None:
    in_another_process(COMPILED)


def test_importing_the_ops_brings_in_no_compiler() -> None:
    in_another_process(IMPORTED)


def test_a_path_made_in_inference_mode_serves_only_there() -> None:
    with torch.inference_mode():
        grid_paths((2, 3), torch.device("cpu"))
    assert not any(path.is_inference() for path in grid_paths((2, 3), torch.device("cpu")))
