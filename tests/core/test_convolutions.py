"""Short convolutions of token rows, against torch's own and against formulas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.convolutions import PointConv, ShortConv, owned
from armillary.core.cost import describe


def _values(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@given(
    st.integers(1, 12), st.sampled_from([1, 3, 5, 7]), st.integers(1, 4), st.booleans(),
    st.sampled_from([torch.float64, torch.float32]),
)  # fmt: skip
def test_a_short_convolution_is_torch_s_own_with_zeros_beyond_the_ends(length, kernel, stride, depthwise, dtype):
    conv = ShortConv(4, 4 if depthwise else 6, kernel, stride=stride, depthwise=depthwise).to(dtype)
    values = _values(2, length, 4, dtype=dtype)
    expected = functional.conv1d(values.mT, conv.weight, conv.bias, stride, kernel // 2, groups=conv.groups).mT
    assert conv(values).shape[1] == -(-length // stride)
    assert_close(conv(values), expected)


def test_masked_tokens_count_as_zeros():
    conv, values = ShortConv(3, 5, 3, stride=2).double(), _values(2, 7, 3)
    mask = torch.tensor([[True] * 4 + [False] * 3, [True, False, True, True, False, True, True]])
    spoiled = values.masked_fill(~mask.unsqueeze(-1), 1e3)
    assert_close(conv(spoiled, mask), conv(values * mask.unsqueeze(-1)))


@pytest.mark.parametrize("stride", [1, 2])
def test_on_a_period_a_shift_of_the_input_shifts_the_output(stride):
    conv, values = ShortConv(3, 3, 5, stride=stride, depthwise=True).double(), _values(2, 8, 3)
    assert_close(conv(values.roll(2, 1), wrap=True), conv(values, wrap=True).roll(2 // stride, 1))
    short = values[:, :2]
    assert conv(short, wrap=True).shape == (2, 2 // stride, 3)


def test_copies_of_one_token_give_what_same_gives():
    for conv in (ShortConv(3, 5, 3).double(), ShortConv(3, 3, 3, depthwise=True, bias=False).double()):
        values = _values(2, 1, 3)
        assert_close(conv(values.expand(-1, 5, -1))[:, 2:3], conv.same(values))


@pytest.mark.parametrize("shape", [(0, 5, 4), (2, 0, 4)])
def test_nothing_gives_nothing_with_gradients(shape):
    values = torch.zeros(shape, requires_grad=True)
    for layer in (ShortConv(4, 6, 3, stride=2), ShortConv(4, 4, 3, depthwise=True), PointConv(4, 3)):
        result = layer(values)
        result.sum().backward()
        assert result.shape[:1] == shape[:1]
        assert result.numel() == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_point_convolution_is_a_linear_map_with_its_gradients(dtype):
    conv = PointConv(5, 7).to(dtype)
    left, right = (_values(3, 4, 5, dtype=dtype).requires_grad_() for _ in range(2))
    ours, theirs = conv(left), functional.linear(right, conv.weight, conv.bias)
    assert ours.dtype == dtype
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {}
    assert_close(ours, theirs, **tolerance)
    weights = _values(3, 4, 7, dtype=dtype)
    gradients = [
        torch.autograd.grad((out * weights).sum(), (x, conv.weight)) for out, x in ((ours, left), (theirs, right))
    ]
    for first, second in zip(*gradients, strict=True):
        assert_close(first, second, **tolerance)


def test_a_coarser_token_is_real_if_it_owns_a_real_one():
    mask = torch.tensor([[True, False, False, False, True], [False, True, False, False, False]])
    assert owned(mask, 2).tolist() == [[True, False, True], [True, False, False]]
    assert owned(mask, 1) is mask
    assert owned(None, 2) is None
    assert owned(mask[:, :0], 2).shape == (2, 0)


def test_work_is_what_describe_counts():
    for layer in (ShortConv(4, 6, 3, stride=2), ShortConv(4, 4, 5, depthwise=True)):
        described = describe(layer, {"x": torch.zeros(3, 7, 4)}, lambda model, batch: model(batch["x"]))
        assert described.mac == layer.work(3, 7)
        assert described.uncounted == ()


def test_what_has_no_centre_is_refused():
    with pytest.raises(AssertionError, match="centre"):
        ShortConv(3, 3, 4)
    with pytest.raises(AssertionError, match="as many channels"):
        ShortConv(3, 4, 3, depthwise=True)
