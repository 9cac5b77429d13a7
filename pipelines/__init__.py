"""The verbs as Python functions; torch is imported when the first of them is used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from armillary.pipelines.run import Run
    from armillary.pipelines.training import train

__all__ = ["Run", "train"]

_HOMES = {"Run": "armillary.pipelines.run", "train": "armillary.pipelines.training"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
