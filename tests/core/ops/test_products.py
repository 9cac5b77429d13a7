"""The fast matrix product is torch's linear map, in any layout, with its gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from armillary.core.ops.products import is_fast, multiply, product
from armillary.core.testing import relative_rms

LIMIT = 1e-5  # float32, relative RMS, sums of up to 70 terms

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": lambda matrix: matrix,
    "transposed": lambda matrix: matrix.T.contiguous().T,
    "with gaps": lambda matrix: torch.cat([matrix, matrix], 1)[:, : matrix.shape[1]],
    "every other": lambda matrix: torch.stack([matrix, matrix], -1)[..., 0],
}
needs_onednn = pytest.mark.skipif(not is_fast(torch.ones(1)), reason="torch has no oneDNN here")


@needs_onednn
@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
def test_a_product_does_not_depend_on_the_layout(first: str, second: str) -> None:
    x, weight = torch.randn(33, 70), torch.randn(17, 70)
    found = multiply(LAYOUTS[first](x), LAYOUTS[second](weight))
    assert relative_rms(found, x.double() @ weight.double().T) < LIMIT


@pytest.mark.parametrize("scaled", ["no scale", "one scale", "a scale for each feature"])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_the_linear_map(scaled: str, biased: bool) -> None:
    sizes = {"no scale": 0, "one scale": 1, "a scale for each feature": 7}
    given = [torch.randn(3, 5, 7), torch.randn(4, 7), torch.randn(4), torch.randn(sizes[scaled])]

    def results(dtype: torch.dtype, call: Callable[..., Tensor]) -> list[Tensor]:
        x, weight, bias, scale = (tensor.to(dtype).requires_grad_() for tensor in given)
        leaves = [x, weight, *([bias] if biased else []), *([scale] if sizes[scaled] else [])]
        y = call(x, weight, bias if biased else None, scale if sizes[scaled] else None)
        return [y, *torch.autograd.grad(y.square().sum(), leaves)]

    def plain(x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None) -> Tensor:
        return functional.linear(x if scale is None else x * scale, weight, bias)

    for found, expected in zip(results(torch.float32, product), results(torch.float64, plain), strict=True):
        assert found.shape == expected.shape
        assert relative_rms(found.detach(), expected.detach()) < LIMIT


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)], ids=str)
def test_an_empty_batch_gives_an_empty_batch_and_gradients_of_zero(shape: tuple[int, ...]) -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    product(torch.zeros(shape), weight).sum().backward()
    assert product(torch.zeros(shape), weight).shape == (*shape[:-1], 4)
    assert weight.grad is not None
    assert weight.grad.abs().sum() == 0


def test_what_asks_for_no_gradient_gets_none() -> None:
    x, weight = torch.randn(5, 3), torch.randn(4, 3, requires_grad=True)
    product(x, weight, None, torch.ones(1)).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_autocast_narrows_as_it_does_everywhere() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(torch.randn(5, 3), torch.randn(4, 3)).dtype == torch.bfloat16
