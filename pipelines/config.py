"""From a recipe's name and overrides to a resolved configuration, and back from a run folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from armillary.core.config import RunConfig
from armillary.core.config.overrides import Override, Resolved, read_yaml, resolve
from armillary.core.config.problems import explain
from armillary.core.config.walk import leaves
from armillary.core.errors import ConfigError, PluginError, near_miss
from armillary.pipelines.folder import RunFolder, read_json
from armillary.pipelines.plugins import load_domain, load_domains


@dataclass(frozen=True)
class Saved:
    """A run folder's configuration and the origins that were written with it."""

    config: RunConfig
    origins: dict[str, str]

    def overrides(self) -> list[Override]:
        """The values that differ from the recipe, as overrides with their first origin."""
        values = {path: value_at(self.config, path) for path in self.origins}
        return [Override(path, value, self.origins[path]) for path, value in values.items()]


def recipe_config(recipe: str) -> RunConfig:
    """The configuration that a recipe function returns.

    Raises:
        ConfigError, PluginError: no such domain or recipe, with the near miss.
    """
    domain_name, slash, name = recipe.partition("/")
    if not slash:
        names = [f"{domain.name}/{name}" for domain in load_domains().values() for name in domain.recipes]
        alike = [name for name in names if name.endswith(f"/{recipe}")]
        hint = f"did you mean '{alike[0]}'?" if alike else "`armillary recipes` lists them."
        raise ConfigError(f"'{recipe}' is no recipe: expected DOMAIN/NAME, such as transients/t2-spcc; {hint}")
    domain = load_domain(domain_name)
    if name not in domain.recipes:
        raise ConfigError(f"{domain_name} has no recipe '{name}'{near_miss(name, domain.recipes)}")
    config = domain.recipes[name]()
    if config.recipe != recipe:
        raise PluginError(f"recipe {recipe} returns a configuration that calls itself {config.recipe}")
    return config


def resolve_recipe(recipe: str, overrides: Sequence[Override]) -> Resolved[RunConfig]:
    """The recipe with overrides applied."""
    return resolve(recipe_config(recipe), overrides)


def written_overrides(recipe: str, files: Sequence[Path], sets: Sequence[Override]) -> list[Override]:
    """Overrides of YAML files in their order, then those of the command line."""
    base = recipe_config(recipe)
    return [override for file in files for override in read_yaml(file, base)] + list(sets)


def load_config(folder: RunFolder) -> Saved:
    """The configuration of a run folder, checked against today's settings.

    Raises:
        RunError: no run folder there. ConfigError: settings that no longer exist.
    """
    content = read_json(folder.config)
    base = recipe_config(str(content["config"]["recipe"]))
    origins = {path: str(folder.config) for path in content["config"]}
    return Saved(explain(base, content["config"], origins), dict(content["origins"]))


def changed(first: RunConfig, second: RunConfig) -> list[str]:
    """Dotted paths whose values differ between two configurations."""
    a, b = dict(leaves(first)), dict(leaves(second))
    return [path for path in dict.fromkeys([*a, *b]) if a.get(path, _MISSING) != b.get(path, _MISSING)]


def value_at(config: RunConfig, path: str) -> Any:
    """The value at a dotted path, as plain data."""
    node: Any = config.model_dump()
    for part in path.split("."):
        node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
    return node


_MISSING = object()
