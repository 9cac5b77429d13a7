"""Which frame belongs to which split: inside each class and SNR, by burst or recording where those are known."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from armillary.core.domain import Split
from armillary.core.errors import ConfigError
from armillary.core.random import derive_rng
from armillary.domains.modulation.settings import ModulationData, ModulationRun

Indices = Int64[np.ndarray, " m"]


def protocol(config: ModulationRun) -> str:
    """The sentences of the report: which frames, how they are split, what trains."""
    data = config.data
    low, high = data.snr_db or (min(data.snr_labels), max(data.snr_labels))
    span = "every SNR label of the set" if data.snr_db is None else f"SNR labels from {low:g} to {high:g} dB only"
    shares = " / ".join(f"{100 * part:g}" for part in data.fractions)
    split = (
        f"Frames of {data.card}, {span}, split inside each class and SNR into {shares} % (train, validation, test; "
        f"seed {data.split_seed}), by burst or recording where those are known."
    )
    if data.generator is not None:
        noise = "the published noise rule" if data.generator.noise == "historical" else "noise at the labelled SNR"
        split += (
            f" Training and validation frames are simulated ({data.generator.train_per_key} a class and SNR in an "
            f"epoch, {noise}{', new in every epoch' if data.generator.fresh else ''}); only the test frames are the "
            "card's."
        )
    few = f" Of the training frames {data.per_key} a class and SNR are used." if data.per_key is not None else ""
    return (
        f"{split}{few} The checkpoint is the one with the lowest validation log loss. Mean accuracy is the mean over "
        f"SNR labels, from {low:g} to {high:g} dB."
    )


def split_frames(
    target: Int64[np.ndarray, " n"], snr_db: np.ndarray, group: np.ndarray, data: ModulationData
) -> dict[Split, Indices]:
    """Indices of each split, disjoint, sorted; frames of no class (-1) or of an SNR that is not used are in none.

    A group goes whole to one split, by the class and SNR of its first frame.

    Raises:
        ConfigError: fractions that are negative or do not add up to 1.
    """
    _check(data.fractions)
    used = target >= 0
    if data.snr_db is not None:
        used &= (snr_db >= data.snr_db[0]) & (snr_db <= data.snr_db[1])
    places = np.flatnonzero(used)
    _, first, member = np.unique(group[places], return_index=True, return_inverse=True)
    leaders = places[first]
    part = _assign(target[leaders], snr_db[leaders], data)[member]
    train, validation, test = (places[part == number].astype(np.int64) for number in range(3))
    return {"train": _few(train, target, snr_db, data), "validation": validation, "test": test}


def _check(fractions: Sequence[float]) -> None:
    if abs(sum(fractions) - 1) > 1e-6 or min(fractions) < 0:
        raise ConfigError(f"data.fractions: expected non-negative numbers that add up to 1, got {tuple(fractions)}")


def _keys(target: np.ndarray, snr_db: np.ndarray) -> Int64[np.ndarray, " n"]:
    """One number for each class and SNR, the same in every data set: frames of unknown SNR share one."""
    tenths = np.where(np.isnan(snr_db), 9999, np.rint(np.nan_to_num(snr_db) * 10))
    return (target.astype(np.int64) * 100_000 + tenths.astype(np.int64)).astype(np.int64)


def _assign(target: np.ndarray, snr_db: np.ndarray, data: ModulationData) -> np.ndarray:
    """0 (train), 1 (validation) or 2 (test) for each group, in shares of each key."""
    keys = _keys(target, snr_db)
    part = np.zeros(len(keys), np.int64)
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    for members in np.split(order, bounds):
        if len(members) == 0:
            continue
        rng = derive_rng(data.split_seed, "split", int(keys[members[0]]))
        stops = np.rint(np.cumsum(data.fractions)[:-1] * len(members)).astype(np.int64)
        part[rng.permutation(members)] = np.searchsorted(stops, np.arange(len(members)), side="right")
    return part


def _few(
    train: Int64[np.ndarray, " t"], target: np.ndarray, snr_db: np.ndarray, data: ModulationData
) -> Int64[np.ndarray, " f"]:
    """The first `per_key` training frames of each key, in an order drawn from the split seed."""
    if data.per_key is None:
        return train
    order = derive_rng(data.split_seed, "few").permutation(train)
    keys = _keys(target[order], snr_db[order])
    ranks = np.empty(len(order), np.int64)
    by_key = np.argsort(keys, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(keys[by_key])) + 1]
    sizes = np.diff(np.r_[starts, len(order)])
    ranks[by_key] = np.arange(len(order)) - np.repeat(starts, sizes)
    return np.sort(order[ranks < data.per_key])
