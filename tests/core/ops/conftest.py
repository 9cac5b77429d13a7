"""Kernels under test: the native library where it is built, and fresh memory full of NaN on request."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from armillary.core.ops.library import library_problem

FRESH = ("empty", "empty_like", "empty_strided", "empty_permuted")


@pytest.fixture
def native() -> None:
    """Skips where the native library is not built."""
    problem = library_problem()
    if problem:
        pytest.skip(problem)


@pytest.fixture
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a kernel forgets to write holds NaN."""
    for name in FRESH:
        monkeypatch.setattr(torch, name, _poisoned(getattr(torch, name)))
    for name in ("new_empty", "new_empty_strided"):
        monkeypatch.setattr(Tensor, name, _poisoned(getattr(Tensor, name)))


def _poisoned(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(*arguments: Any, **named: Any) -> Tensor:
        tensor = make(*arguments, **named)
        return tensor.fill_(torch.nan) if tensor.is_floating_point() else tensor

    return made
