"""A check of Avro schemas from outside: none that lets few bytes unfold into endless values."""

from collections.abc import Mapping
from typing import Any

_NAMED = ("record", "error", "enum", "fixed")
_SCALARS = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


def check_schema(schema: Any) -> None:
    """Raise ValueError when the schema refers to itself, or repeats items that take no bytes."""
    _takes_bytes(schema, {}, ())


def _takes_bytes(schema: Any, named: dict[str, bool], within: tuple[str, ...]) -> bool:
    """Whether each value of the schema takes at least one byte; `within` are the records being defined."""
    if len(within) > 16:
        raise ValueError("its schema is nested too deeply")
    if isinstance(schema, str):
        return _of_name(schema, named, within)
    if isinstance(schema, list):
        for branch in schema:
            _takes_bytes(branch, named, within)
        return True  # a union writes which branch it is
    if not isinstance(schema, Mapping):
        raise ValueError("its schema is malformed")
    return _of_mapping(schema, named, within)


def _of_name(name: str, named: dict[str, bool], within: tuple[str, ...]) -> bool:
    if name in _SCALARS:
        return name != "null"
    short = name.rsplit(".", 1)[-1]
    if short in within:
        raise ValueError(f"its schema refers to itself through '{name}'")
    if short not in named:
        raise ValueError(f"its schema uses '{name}' before defining it")
    return named[short]


def _of_mapping(schema: Mapping[str, Any], named: dict[str, bool], within: tuple[str, ...]) -> bool:
    kind = schema.get("type")
    if kind in ("array", "map"):
        items = _takes_bytes(schema.get("items" if kind == "array" else "values"), named, (*within, ""))
        if not items and kind == "array":
            raise ValueError("its schema has an array whose items take no bytes")
        return True
    if kind not in _NAMED:
        return _takes_bytes(kind, named, within)
    name = str(schema.get("name", "")).rsplit(".", 1)[-1]
    takes = kind == "enum" or (kind == "fixed" and schema.get("size", 0) > 0)
    for field in schema.get("fields", ()):
        takes |= _takes_bytes(field.get("type"), named, (*within, name))
    named[name] = takes
    return takes
