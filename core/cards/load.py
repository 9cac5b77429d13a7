"""Cards from YAML: every problem is named with file, line, allowed names and the near miss."""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from armillary.core.cards.schema import Card
from armillary.core.errors import CardError, near_miss

_MAX_BYTES = 1_000_000
_SUFFIX = ".yaml"


def load_card(source: Path | Traversable) -> Card:
    """The card in a YAML file, a path or a package resource.

    Raises:
        CardError: the file cannot be read, or `parse_card` refuses it.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise CardError(
            f"{source}: cannot be read ({error.strerror}). Give the path of a card, a YAML file."
        ) from error
    try:
        return parse_card(content.decode("utf-8"), str(source))
    except UnicodeDecodeError as error:
        raise CardError(f"{source}: not UTF-8 text at byte {error.start}. Save it as UTF-8.") from error


def parse_card(text: str, source: str) -> Card:
    """The card in YAML `text`; `source` names it in errors.

    Raises:
        CardError: one line a problem, each as 'source:line: path: problem'.
    """
    if len(text) > _MAX_BYTES:
        raise CardError(f"{source}: {len(text)} characters; a card has at most {_MAX_BYTES}.")
    root = _compose(text, source)
    try:
        return Card.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        problems = [_located(root, problem) for problem in error.errors(include_url=False)]
        raise CardError("\n".join(_merged(problems, source))) from error


def list_cards(package: str) -> dict[str, Card]:
    """Id -> card of every YAML file in a package, sorted by id.

    Raises:
        CardError: a card is malformed, or its file is not named as its id.
    """
    entries = [entry for entry in files(package).iterdir() if entry.name.endswith(_SUFFIX)]
    cards = {entry.name.removesuffix(_SUFFIX): load_card(entry) for entry in sorted(entries, key=lambda e: e.name)}
    for name, card in cards.items():
        if name != card.id:
            raise CardError(f"{package}: the card '{card.id}' is in {name}{_SUFFIX}; name the file {card.id}{_SUFFIX}.")
    return cards


def _compose(text: str, source: str) -> yaml.MappingNode:
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise CardError(f"{source}:1: expected a mapping that starts with 'id: ...'; this is no card.")
        _refuse_repeats(root, source, set())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CardError(f"{source}:{line}: not YAML: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise CardError(f"{source}: not YAML: {(str(error).splitlines() or ['nested too deeply'])[0]}.") from error
    return root


def _refuse_repeats(node: yaml.Node, source: str, seen: set[int]) -> None:
    """A key written twice would silently win; an alias can expand to any size."""
    if id(node) in seen:
        raise CardError(f"{source}:{_line(node)}: YAML anchors and aliases are not used in cards; write the value out.")
    seen.add(id(node))
    keys: dict[str, int] = {}
    for key, child in _children(node):
        if key in keys:
            raise CardError(f"{source}:{_line(child)}: '{key}' is set a second time; line {keys[key]} has it too.")
        keys[key] = _line(child)
        _refuse_repeats(child, source, seen)


def _children(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield str(index), value


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _located(root: yaml.Node, problem: ErrorDetails) -> tuple[int, str, str]:
    """(line, dotted path, what was wrong). Pydantic's tags for union members have no node and are left out."""
    node, path = root, list[str]()
    for part in problem["loc"]:
        children = dict(_children(node))
        if str(part) not in children:
            break
        node = children[str(part)]
        path.append(str(part))
    if problem["type"] == "missing":
        path.append(str(problem["loc"][-1]))
    return _line(node), ".".join(path), _wording(problem)


def _wording(problem: ErrorDetails) -> str:
    *parents, name = problem["loc"] or ("",)
    if problem["type"] == "extra_forbidden":
        owner = _model_at(Card, parents)
        return f"no such field in {owner.__name__}{near_miss(str(name), owner.model_fields)}"
    if problem["type"] == "missing":
        return "is missing"
    if problem["type"] == "value_error":
        return str(problem.get("ctx", {})["error"])
    got = "" if isinstance(problem["input"], Mapping | list) else f", got {problem['input']!r}"
    return problem["msg"].replace("Input should be", "expected").replace("String should", "should") + got


def _model_at(model: type[BaseModel], location: list[int | str]) -> type[BaseModel]:
    """The class of settings at a location; containers pass their member type on."""
    kind: Any = model
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = next(member for member in reversed(get_args(kind)) if member is not Ellipsis)
    return cast(type[BaseModel], kind)


def _merged(problems: list[tuple[int, str, str]], source: str) -> Iterator[str]:
    """One line a place: the members of a union that all refuse a value become alternatives."""
    places: dict[tuple[int, str], list[str]] = {}
    for line, path, text in problems:
        places.setdefault((line, path), []).append(text)
    for (line, path), texts in sorted(places.items()):
        text = " or ".join(dict.fromkeys(texts)).replace(" or expected", " or")
        yield f"{source}:{line}: {path + ': ' if path else ''}{text}"
