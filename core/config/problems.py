"""Wording of configuration errors: origin, path, what was expected, what was got, the near miss."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from armillary.core.config.run import RunConfig
from armillary.core.config.settings import Settings
from armillary.core.config.walk import leaves
from armillary.core.errors import ConfigError, near_miss

C = TypeVar("C", bound=RunConfig)


def unknown(owner: type[Settings], name: str, path: str) -> str:
    """The sentence for a name that the settings `owner` do not have."""
    return f"{path}: no such setting in {owner.__name__}{near_miss(name, owner.model_fields)}"


def misplaced(base: RunConfig, name: str) -> str:
    """A hint when a setting of that name exists elsewhere."""
    places = [path for path, _ in leaves(base) if path.rsplit(".", 1)[-1] == name]
    return f"\n  Misplaced? There is {' and '.join(places[:3])}." if places else ""


def explain(base: C, tree: Mapping[str, Any], origins: Mapping[str, str]) -> C:
    """`tree` as a validated configuration of `base`'s class.

    Raises:
        ConfigError: one line a problem, each with the origin of the value.
    """
    try:
        return type(base).model_validate(tree)
    except ValidationError as error:
        lines = [_line(base, tree, problem, origins) for problem in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def _line(base: RunConfig, tree: Any, problem: ErrorDetails, origins: Mapping[str, str]) -> str:
    parts, _ = _walk(type(base), tree, problem["loc"])
    path = ".".join(parts)
    origin = _origin(path, origins)
    place = f"{origin}: " if origin else f"recipe {base.recipe}: "
    kind = problem["type"]
    if kind == "extra_forbidden":
        owner, name = _walk(type(base), tree, problem["loc"][:-1])[1], path.rpartition(".")[2]
        text = unknown(owner, name, path)
        return f"{place}{text}{misplaced(base, name)}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        allowed = problem.get("ctx", {}).get("expected_tags", "")
        return f"{place}{path}: unknown kind, got {_short(problem['input'])}; expected kind to be one of {allowed}."
    if kind == "value_error":
        # A rule of our own says itself what was expected and got; one of the whole run has no path.
        where = f"{path}: " if path else ""
        return f"{place}{where}{problem['msg'].removeprefix('Value error, ').rstrip('.')}."
    message = problem["msg"].replace("Input should be", "expected").rstrip(".")
    return f"{place}{path}: {message[0].lower()}{message[1:]}, got {_short(problem['input'])}."


def _walk(owner: type[Settings], tree: Any, location: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """The location as the user writes it, without pydantic's tags for the kinds of a union, and the type there."""
    kind: Any = owner
    path: list[str] = []
    for part in location:
        values = cast(dict[Any, Any], tree) if isinstance(tree, dict) else {}
        is_tag = part not in values and values.get("kind") == part
        kind = _inner(kind, part)
        if is_tag:
            continue
        path.append(str(part))
        tree = _child(tree, part)
    return path, kind


def _child(tree: Any, part: int | str) -> Any:
    if isinstance(tree, dict):
        return cast(dict[str, Any], tree).get(str(part))
    if isinstance(tree, (list, tuple)) and isinstance(part, int):
        items = cast(list[Any], tree)
        return items[part] if part < len(items) else None
    return None


def _inner(kind: Any, part: int | str) -> Any:
    """The type of a field, of the member of a union that a tag names, or of the elements of a container."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        found = kind.model_fields.get(str(part))
        return None if found is None else found.annotation
    members = [member for member in _members(kind) if member is not Ellipsis]
    tagged = [m for m in members if isinstance(m, type) and issubclass(m, Settings) and _tag(m) == part]
    return (tagged or members or [None])[0]


def _members(kind: Any) -> tuple[Any, ...]:
    """Arguments of a generic type; unions inside a union and what Annotated wraps are looked through."""
    arguments = get_args(kind)
    if get_origin(kind) is Annotated:
        return _members(arguments[0])
    if get_origin(kind) not in (Union, UnionType):
        return arguments
    inner = ((argument, _members(argument)) for argument in arguments)
    return tuple(
        member
        for argument, members in inner
        for member in (members if get_origin(argument) in (Annotated, Union, UnionType) else (argument,))
    )


def _tag(settings: type[Settings]) -> Any:
    found = settings.model_fields.get("kind")
    return None if found is None else found.default


def _origin(path: str, origins: Mapping[str, str]) -> str:
    """The origin of the longest written path at, above or below the problem."""
    related = [p for p in origins if p == path or path.startswith(p + ".") or p.startswith(path + ".")]
    return origins[max(related, key=len)] if related else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
