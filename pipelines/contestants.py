"""What `compare` puts into a recipe: mixers and channel mixers, written on the command line, as overrides."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import yaml

from armillary.core.config import RunConfig
from armillary.core.config.overrides import Override
from armillary.core.config.parts import CHANNELS, MIXERS, Part
from armillary.core.config.settings import Settings
from armillary.core.domain import TrunkNeeds
from armillary.core.errors import ConfigError, near_miss

_LAYER = re.compile(r"(?:(?P<times>[1-9][0-9]*)\*)?(?P<kind>\w+)(?:\((?P<settings>.*)\))?", re.DOTALL)


@dataclass(frozen=True)
class Contestant:
    """One way to fill the recipe's blocks: its name as written, and the settings that make it so."""

    name: str
    overrides: tuple[Override, ...]

    @property
    def slug(self) -> str:
        """The name as a file name."""
        return re.sub(r"[^A-Za-z0-9.=]+", "-", self.name).strip("-")


def contestants(config: RunConfig, mixers: str, channels: str | None, needs: TrunkNeeds) -> list[Contestant]:
    """Every mixer with every channel mixer, in the blocks of the recipe's trunk.

    A mixer is written KIND, KIND(setting=value,...), or as a pattern of several, 6*mamba2+attention. Settings that
    are not given are the recipe's own where it has that kind, else the kind's defaults; `causal`, `bidirectional` and
    the `rank` of the grid follow what the recipe needs.

    Raises:
        ConfigError: an unknown kind, text that is no list of mixers, or a recipe without a trunk.
    """
    places = list(_places(config.model, "model"))
    if not places:
        raise ConfigError(
            f"{config.recipe} has no blocks to put a mixer into: it is a network of its own kind.\n"
            "  Compare a recipe whose settings have a 'pattern' (see `armillary config show`)."
        )
    found: list[Contestant] = []
    for mixer, channel in product(_split(mixers, ","), _split(channels, ",") if channels else [None]):
        values = [_parts(layer, MIXERS, config, needs) for layer in _split(mixer, "+")]
        pattern = [part for layer in values for part in layer]
        overrides = [Override(f"{path}.pattern", pattern, f"--mixers {mixer}") for path, _ in places]
        if channel is not None:
            overrides += _channel_overrides(places, channel, config)
        found.append(Contestant(mixer if channel is None else f"{mixer} {channel}", tuple(overrides)))
    return found


def _channel_overrides(places: Sequence[tuple[str, Settings]], channel: str, config: RunConfig) -> Iterator[Override]:
    path, settings = places[0]
    # The channel mixer is the trunk's, one level above where a trunk has several stages.
    trunk = path if "channel" in type(settings).model_fields else path.rpartition(".stages.")[0]
    if not trunk:
        raise ConfigError(f"{config.recipe}: its blocks take no other channel mixer; leave --channels out.")
    (value,) = _parts(channel, CHANNELS, config, None)
    yield Override(f"{trunk}.channel", value, f"--channels {channel}")


def _places(settings: Settings, path: str) -> Iterator[tuple[str, Settings]]:
    """Where blocks have a pattern of mixers: a trunk, or each stage of one."""
    stages = getattr(settings, "stages", ())
    if "pattern" in type(settings).model_fields and not stages:
        yield path, settings
        return
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from _places(value, f"{path}.{name}")
        elif isinstance(value, tuple):
            for index, part in enumerate(cast(tuple[Any, ...], value)):
                if isinstance(part, Settings):
                    yield from _places(part, f"{path}.{name}.{index}")


def _parts(text: str, table: Mapping[str, Part], config: RunConfig, needs: TrunkNeeds | None) -> list[dict[str, Any]]:
    """The values of one part, as often as its text says."""
    match = _LAYER.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"'{text}' is no mixer; expected KIND, KIND(setting=value,...) or N*KIND, joined by + or ,")
    kind = match["kind"]
    if kind not in table:
        raise ConfigError(f"'{kind}' is no kind of part that fits here{near_miss(kind, table)}")
    settings = table[kind].settings
    own = next((part.model_dump() for part in _of_kind(config.model, settings)), {})
    needed = {} if needs is None else _needed(settings, needs)
    values = {**own, **needed, **_settings(match["settings"], text), "kind": kind}
    return [values] * int(match["times"] or 1)


def _needed(settings: type[Settings], needs: TrunkNeeds) -> dict[str, Any]:
    """Values of the settings that the recipe decides."""
    fields = settings.model_fields
    values = {"causal": needs.causal, "bidirectional": not needs.causal}
    found: dict[str, Any] = {name: value for name, value in values.items() if name in fields}
    if "rank" in fields and fields["rank"].default is not None:
        found["rank"] = max(needs.grid_rank, 1)
    return found


def _of_kind(settings: Settings, kind: type[Settings]) -> Iterator[Settings]:
    """Settings of this class anywhere below."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for part in cast(tuple[Any, ...], value) if isinstance(value, tuple) else (value,):
            if type(part) is kind:
                yield part
            elif isinstance(part, Settings):
                yield from _of_kind(part, kind)


def _settings(text: str | None, whole: str) -> dict[str, Any]:
    if not text:
        return {}
    pairs = [part.partition("=") for part in _split(text, ",")]
    try:
        return {name.strip(): yaml.safe_load(value) for name, _, value in pairs}
    except yaml.YAMLError as error:
        raise ConfigError(f"'{whole}': a setting's value is not YAML; expected setting=value,...") from error


def _split(text: str, separator: str) -> list[str]:
    """Parts between separators that stand outside all brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    cleaned = [part.strip() for part in parts]
    if depth or not all(cleaned):
        raise ConfigError(f"'{text}': a name is missing or a bracket is open; expected a list such as attention,mamba2")
    return cleaned
