"""Walks settings leaf by leaf."""

from collections.abc import Iterator
from typing import Any, cast

from armillary.core.config.settings import Settings


def leaves(config: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every setting; tuples of settings are entered by index."""
    for name in type(config).model_fields:
        yield from _value_leaves(getattr(config, name), f"{prefix}{name}")


def _value_leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Settings):
        yield from leaves(value, f"{path}.")
    elif isinstance(value, tuple) and any(isinstance(part, Settings) for part in cast(tuple[Any, ...], value)):
        for index, part in enumerate(cast(tuple[Any, ...], value)):
            yield from _value_leaves(part, f"{path}.{index}")
    else:
        yield path, value
