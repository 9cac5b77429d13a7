"""Compares an op with its float64 oracle: values and every gradient, under a random upstream gradient."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Op = Callable[..., tuple[Tensor, Tensor]]


def relative_rms(actual: Tensor, expected: Tensor) -> float:
    """||a - b|| / ||b||; the plain norm of a where b is zero."""
    difference, scale = (actual.double() - expected.double()).square().sum(), expected.double().square().sum()
    return float((difference / scale if scale > 0 else difference).sqrt())


def values_and_gradients(op: Op, inputs: Mapping[str, Tensor | None], seed: int) -> dict[str, Tensor]:
    """Outputs and the gradient of each floating input, for random gradients of both outputs."""
    leaves = {name: _leaf(value) for name, value in inputs.items()}
    outputs = op(**leaves)
    generator = torch.Generator().manual_seed(seed)
    upstream = [torch.randn(output.shape, generator=generator, dtype=torch.float64) for output in outputs]
    pairs = [(output, g.to(output.dtype)) for output, g in zip(outputs, upstream, strict=True) if output.requires_grad]
    torch.autograd.backward([output for output, _ in pairs], [g for _, g in pairs])
    found = {f"output {i}": output.detach() for i, output in enumerate(outputs)}
    wanted = {name: leaf for name, leaf in leaves.items() if leaf is not None and leaf.is_floating_point()}
    return found | {f"gradient {name}": _gradient(leaf) for name, leaf in wanted.items()}


def assert_agree(
    op: Op, reference: Op, inputs: Mapping[str, Tensor | None], *, value: float, gradient: float, seed: int = 0
) -> None:
    """The relative RMS error of every output and gradient is below the limit for its kind."""
    exact = {name: _double(tensor) for name, tensor in inputs.items()}
    expected = values_and_gradients(reference, exact, seed)
    actual = values_and_gradients(op, inputs, seed)
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        limit = value if name.startswith("output") else gradient
        assert actual[name].shape == tensor.shape, name
        assert torch.isfinite(actual[name]).all(), f"{name} is not finite"
        error = relative_rms(actual[name], tensor)
        assert error <= limit, f"{name}: relative error {error:.2e}, limit {limit:.0e}"


def _leaf(tensor: Tensor | None) -> Tensor | None:
    # The layout is part of what is tested, so the leaf is a view of the same strides.
    if tensor is None or not tensor.is_floating_point():
        return tensor
    return tensor.detach().requires_grad_()


def _gradient(leaf: Tensor) -> Tensor:
    # An empty sequence never touches some inputs; their gradient is zero.
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _double(tensor: Tensor | None) -> Tensor | None:
    return tensor.double() if tensor is not None and tensor.is_floating_point() else tensor
