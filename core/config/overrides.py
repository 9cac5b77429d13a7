"""Overrides of a recipe from YAML files and `--set`, and where each value of the result came from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import yaml

from armillary.core.config.problems import explain, misplaced, unknown
from armillary.core.config.run import RunConfig
from armillary.core.config.settings import Settings
from armillary.core.errors import ConfigError

C = TypeVar("C", bound=RunConfig)
_MAX_YAML_BYTES = 1_000_000
_KIND = "kind"


@dataclass(frozen=True)
class Override:
    """One value for one dotted path, and where it was written ('my.yaml:5', '--set optim.lr=1e-3')."""

    path: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Resolved(Generic[C]):
    """A validated configuration and the origin of every value that is not the recipe's own."""

    config: C
    origins: Mapping[str, str]

    def origin(self, path: str) -> str:
        """Where the value at a dotted path came from."""
        parts = path.split(".")
        for stop in range(len(parts), 0, -1):
            if (found := self.origins.get(".".join(parts[:stop]))) is not None:
                return found
        return f"recipe {self.config.recipe}"


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats: PyYAML alone reads 1e-3 as a string."""


_Loader.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_set(text: str) -> Override:
    """The override in 'path=value', the value read as YAML.

    Raises:
        ConfigError: no '=', an empty path, or a value that is not YAML.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {text}: expected path=value, such as --set optim.lr=1e-3")
    try:
        # The loader is a subclass of SafeLoader and constructs plain data only.
        return Override(path.strip(), yaml.load(value, _Loader), f"--set {text}")
    except yaml.YAMLError as error:
        raise ConfigError(
            f"--set {text}: the value is not YAML ({_first_line(error)}).\n  Quote it, as in --set 'data.bands=[a, b]'"
        ) from error


def read_yaml(path: Path, base: RunConfig) -> list[Override]:
    """The overrides in a YAML file, each with its line. Mappings nest where `base` has settings.

    Raises:
        ConfigError: the file is missing, too large, not YAML, not a mapping, or repeats a key.
    """
    try:
        if path.stat().st_size > _MAX_YAML_BYTES:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes; a configuration has at most {_MAX_YAML_BYTES}.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Give the path of a YAML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text at byte {error.start}. Save it as UTF-8.") from error
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}:1: expected a mapping such as 'optim: {{lr: 1e-3}}', got {type(node).__name__}.")
        return list(_leaves(loader, node, base, "", path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {_first_line(error)}.") from error
    finally:
        loader.dispose()


def resolve(base: C, overrides: Sequence[Override]) -> Resolved[C]:
    """`base` with the overrides in order, validated as a whole.

    Setting `kind` of a part to another one drops the recipe's values of the old kind.

    Raises:
        ConfigError: an unknown or misplaced path, or a value that does not fit, with its origin.
    """
    tree = base.model_dump()
    origins: dict[str, str] = {}
    for override in overrides:
        if override.path in ("recipe", ""):
            raise ConfigError(f"{override.origin}: the recipe cannot be overridden; name another recipe instead.")
        _apply(base, tree, override)
        origins = {path: origin for path, origin in origins.items() if not _below(path, override.path)}
        origins[override.path] = override.origin
    return Resolved(explain(base, tree, origins), origins)


def _below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent + ".")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _leaves(loader: _Loader, node: yaml.MappingNode, base: Any, prefix: str, path: Path) -> Iterator[Override]:
    """Walks a YAML mapping beside the settings it overrides; stops where those are no settings."""
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = str(loader.construct_object(key_node, deep=True))
        if key in seen:
            raise ConfigError(f"{path}:{line}: '{prefix}{key}' is set a second time; line {seen[key]} has it too.")
        seen[key] = line
        child = getattr(base, key, None) if isinstance(base, Settings) else None
        if isinstance(value_node, yaml.MappingNode) and isinstance(child, Settings) and value_node.value:
            yield from _leaves(loader, value_node, child, f"{prefix}{key}.", path)
        else:
            value = loader.construct_object(value_node, deep=True)
            yield Override(f"{prefix}{key}", value, f"{path}:{line}")


def _apply(base: RunConfig, tree: dict[str, Any], override: Override) -> None:
    """Puts one value into the tree; a path that the settings do not have is an error at once."""
    *parents, last = override.path.split(".")
    node: Any = tree
    settings: Any = base
    for depth, name in enumerate(parents):
        node, settings = _descend(base, node, settings, name, ".".join(parents[:depth]), override)
    if isinstance(node, dict):
        values = cast(dict[str, Any], node)
        if last == _KIND and values.get(_KIND) not in (None, override.value):
            values.clear()
        elif (
            isinstance(settings, Settings)
            and last not in type(settings).model_fields
            and values.get(_KIND) == getattr(settings, _KIND, None)
        ):
            problem = unknown(type(settings), last, override.path)
            raise ConfigError(f"{override.origin}: {problem}{misplaced(base, last)}")
        values[last] = override.value
    elif isinstance(node, list):
        items = cast(list[Any], node)
        items[_index(items, last, override)] = override.value
    else:
        raise ConfigError(f"{override.origin}: {_no_part(node, '.'.join(parents), last, override)}")


def _descend(base: RunConfig, node: Any, settings: Any, name: str, parent: str, override: Override) -> tuple[Any, Any]:
    """One step down a dotted path, in the tree of values and in the recipe's settings together."""
    if isinstance(node, dict):
        values = cast(dict[str, Any], node)
        if name not in values:
            if isinstance(settings, Settings):
                raise ConfigError(
                    f"{override.origin}: {unknown(type(settings), name, override.path)}"
                    f"{misplaced(base, override.path.rsplit('.', 1)[-1])}"
                )
            raise ConfigError(f"{override.origin}: {parent or 'the configuration'} has no '{name}'.")
        child = values[name]
        if isinstance(child, tuple):
            child = values[name] = list(cast(tuple[Any, ...], child))
        return child, getattr(settings, name, None)
    if isinstance(node, list):
        items = cast(list[Any], node)
        index = _index(items, name, override)
        parts = cast(Sequence[Any], settings) if isinstance(settings, tuple) else ()
        return items[index], parts[index] if index < len(parts) else None
    raise ConfigError(f"{override.origin}: {_no_part(node, parent, name, override)}")


def _no_part(node: Any, parent: str, name: str, override: Override) -> str:
    if node is not None:
        return f"{parent} is a single value, it has no '{name}'."
    rest = override.path.removeprefix(f"{parent}.").split(".")
    whole = "{" + ": {".join(rest) + f": {override.value}" + "}" * len(rest)
    return f"{parent} is null, so that it has no '{name}'; set it as a whole: --set '{parent}={whole}'."


def _index(items: list[Any], name: str, override: Override) -> int:
    if not name.isdigit() or int(name) >= len(items):
        raise ConfigError(
            f"{override.origin}: '{name}' is no place in a list of {len(items)}; "
            f"places count from 0 to {len(items) - 1}."
        )
    return int(name)
