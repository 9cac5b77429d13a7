"""Which objects train, validate and test: stratified by class, a function of the split seed alone."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from armillary.core.domain import Split
from armillary.core.errors import ConfigError
from armillary.core.random import derive_rng
from armillary.domains.transients.settings import TransientsData, TransientsRun

Indices = Int64[np.ndarray, " m"]


def protocol(config: TransientsRun) -> str:
    """Which sample is split how, and what the model and the baselines are given, in words."""
    data = config.data
    shares = "/".join(f"{100 * share:.0f}" for share in data.fractions)
    sample = {
        "representative": f"The survey's photometric sample, stratified by class into {shares} % "
        f"(seed {data.split_seed}).",
        "official": "Trained and validated on the survey's spectroscopic sample, tested on its photometric one.",
        "folds": f"{data.folds} folds stratified by class (seed {data.split_seed}); fold {data.fold} tests, the next "
        "validates, the others train.",
    }[data.protocol]
    redshift = {
        "none": "No redshift is given.",
        "photometric": "The host's photometric redshift and its error are given.",
        "spectroscopic": "The spectroscopic redshift is given; it comes with the classification and leaks it.",
    }[data.redshift]
    end = f" and end {data.days_after:g} d after the last" if config.model.kind == "t2" else ""
    return (
        f"{sample} {redshift} The model's light curves start {data.days_before:g} d before the first detection{end}; "
        f"the baselines read features of the whole ones. Probabilities assume {data.prior} class frequencies."
    )


def targets(labels: Sequence[str], classes: Mapping[str, Sequence[str]]) -> Int64[np.ndarray, " n"]:
    """Place of each survey label's class in `classes`; -1 for labels of none.

    Raises:
        ConfigError: a label stands in two classes.
    """
    place: dict[str, int] = {}
    for number, (name, members) in enumerate(classes.items()):
        for member in members:
            if member in place:
                raise ConfigError(
                    f"data.classes: label '{member}' is in '{name}' and in '{list(classes)[place[member]]}'"
                )
            place[member] = number
    return np.array([place.get(label, -1) for label in labels], np.int64)


def split_objects(
    target: Int64[np.ndarray, " n"], data: TransientsData, spectroscopic: np.ndarray
) -> dict[Split, Indices]:
    """Indices of each split, disjoint; objects of no class (-1) are in none.

    `spectroscopic` (n,) bool marks the survey's labelled sample, which the official protocol trains on and the
    representative one leaves out.
    """
    known = target >= 0
    if data.protocol == "folds":
        return _folds(target, known, data)
    if data.protocol == "official":
        inner = data.fractions[0] / (data.fractions[0] + data.fractions[1])
        train, validation = _divide(target, known & spectroscopic, (inner, 1 - inner), data)
        return {"train": train, "validation": validation, "test": np.flatnonzero(known & ~spectroscopic)}
    train, validation, test = _divide(target, known & ~spectroscopic, data.fractions, data)
    return {"train": train, "validation": validation, "test": test}


def _orders(target: Int64[np.ndarray, " n"], chosen: np.ndarray, data: TransientsData) -> list[Indices]:
    """For each class, its chosen objects in an order drawn from the split seed."""
    places = [np.flatnonzero(chosen & (target == k)) for k in range(len(data.classes))]
    return [derive_rng(data.split_seed, "split", k).permutation(p) for k, p in enumerate(places)]


def _divide(
    target: Int64[np.ndarray, " n"], chosen: np.ndarray, fractions: Sequence[float], data: TransientsData
) -> list[Indices]:
    if abs(sum(fractions) - 1) > 1e-6 or min(fractions) < 0:
        raise ConfigError(f"data.fractions: expected non-negative numbers that add up to 1, got {tuple(fractions)}")
    parts: list[list[Indices]] = [[] for _ in fractions]
    for order in _orders(target, chosen, data):
        stops = np.rint(np.cumsum(fractions) * len(order)).astype(np.int64)
        for part, piece in zip(parts, np.split(order, stops[:-1]), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)).astype(np.int64) for part in parts]


def _folds(target: Int64[np.ndarray, " n"], known: np.ndarray, data: TransientsData) -> dict[Split, Indices]:
    """Fold k tests, fold k + 1 validates, the others train."""
    if data.folds < 3 or data.fold >= data.folds:
        raise ConfigError(
            f"data.fold: expected 0 to {data.folds - 1} of at least 3 folds, got {data.fold} of {data.folds}"
        )
    fold = np.full(len(target), -1)
    for order in _orders(target, known, data):
        fold[order] = np.arange(len(order)) % data.folds
    validation = (data.fold + 1) % data.folds
    return {
        "test": np.flatnonzero(fold == data.fold),
        "validation": np.flatnonzero(fold == validation),
        "train": np.flatnonzero((fold >= 0) & (fold != data.fold) & (fold != validation)),
    }
