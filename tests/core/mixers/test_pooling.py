"""Pooling, by hand and against torch's own average pooling."""

import torch
from torch.nn import functional

from armillary.core.config.mixers import PoolingSettings
from armillary.core.mixers import Pooling
from armillary.core.tokens import Tokens


def pooled(values: list[float], causal: bool = False, mask: list[bool] | None = None) -> list[float]:
    tokens = Tokens(torch.tensor(values)[None, :, None], mask=None if mask is None else torch.tensor(mask)[None])
    return Pooling(1, PoolingSettings(causal=causal))(tokens)[0].flatten().tolist()


def test_padding_is_not_counted() -> None:
    assert pooled([3.0, 9.0, 6.0, 0.0]) == [3.0, -3.0, -1.0, 3.0]


def test_the_causal_window_ends_at_the_token() -> None:
    assert pooled([3.0, 9.0, 6.0, 0.0], causal=True) == [0.0, -3.0, 0.0, 5.0]


def test_masked_tokens_are_not_counted() -> None:
    assert pooled([3.0, 9.0, 6.0, 0.0], mask=[True, False, True, True])[2:] == [-3.0, 3.0]


def test_a_constant_signal_gives_zero() -> None:
    assert pooled([2.0] * 5) == pooled([2.0] * 5, causal=True) == [0.0] * 5


def test_it_equals_average_pooling_less_the_input() -> None:
    values = torch.randn(3, 17, 5, generator=torch.Generator().manual_seed(0))
    expected = functional.avg_pool1d(values.transpose(1, 2), 3, 1, 1, count_include_pad=False).transpose(1, 2) - values
    torch.testing.assert_close(Pooling(5, PoolingSettings())(Tokens(values))[0], expected)
