"""From what a table says about an image to the numbers that are learned."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float32

from armillary.core.errors import ConfigError, DataError, near_miss
from armillary.domains.medical.readers.report import some_of
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.studies import NAN, no_target

UNCERTAIN = -1.0
_COUNTS_AS = {"ignore": NAN, "zero": 0.0, "one": 1.0}


def check_names(data: MedicalData, known: Iterable[str]) -> None:
    """Whether a set has all that data.names asks for.

    Raises:
        ConfigError: it has not.
    """
    known = list(known)
    for name in data.names:
        if name not in known:
            raise ConfigError(f"data.names: {data.card} has no '{name}'{near_miss(name, known)}")


def target_of(values: Mapping[str, float], data: MedicalData, item: str) -> Float32[np.ndarray, " k"]:
    """What an image's labels (1, 0, -1 uncertain, NaN unknown; left out: 0) come to for data.names.

    Labels: 1, 0 or NaN each, where -1 counts as data.unknown says. Classes: one-hot. Otherwise nothing.

    Raises:
        DataError: another number; for classes, not exactly one of the names.
    """
    if data.task == "labels":
        return np.array([_label(name, values.get(name, 0.0), data, item) for name in data.names], np.float32)
    if data.task == "classes":
        chosen = [name for name in data.names if values.get(name, 0.0) == 1.0]
        if len(chosen) != 1:
            there = [name for name, value in values.items() if value == 1.0]
            raise DataError(
                f"has the labels {some_of(there) or 'none'}; expected exactly one of {', '.join(data.names)}",
                item=item,
                advice="The image is left out.",
            )
        return np.array([name == chosen[0] for name in data.names], np.float32)
    return no_target()


def _label(name: str, value: float, data: MedicalData, item: str) -> float:
    if value == UNCERTAIN:
        return _COUNTS_AS[data.unknown]
    if value not in (0.0, 1.0) and value == value:
        raise DataError(
            f"{name} is {value:g}; expected 1, 0, -1 or nothing", item=item, advice="The image is left out."
        )
    return value
