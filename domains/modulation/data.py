"""From a configuration to the items of a split, and from windows of files to items to predict."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float32, Int64, UInt64

from armillary.core.domain import Items, Split
from armillary.core.errors import ConfigError, DataError, near_miss
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.items import FrameItems, GeneratedItems
from armillary.domains.modulation.readers.dataset import load_card
from armillary.domains.modulation.settings import ModulationData, ModulationRun
from armillary.domains.modulation.splits import split_frames

_SIMULATION = "armillary.domains.modulation.simulation"
# Which generator stands for a card: called with the noise rule and the length, it gives a Make with `classes`.
_GENERATORS = {
    "rml2016a": f"{_SIMULATION}.rml2016:RML2016A",
    "rml2016a_regen": f"{_SIMULATION}.rml2016:RML2016A",
    "simulated_rml2016a": f"{_SIMULATION}.rml2016:RML2016A",
    "rml2016b": f"{_SIMULATION}.rml2016:RML2016B",
    "rml2018": f"{_SIMULATION}.rml2018:RML2018",
    "satellite_recordings": f"{_SIMULATION}.audio_maker:ReceiverAudio",
    "simulated_receiver_audio": f"{_SIMULATION}.audio_maker:ReceiverAudio",
}


def datasets(config: ModulationRun, folders: Mapping[str, Path], split: Split) -> Items:
    """One split of a run's data as items; with data.generator, training and validation frames are made, not read."""
    data = config.data
    if data.generator is not None and split != "test":
        count = data.generator.train_per_key if split == "train" else data.generator.validation_per_key
        return GeneratedItems(config, _Maker(data), split, count, data.generator)
    problems: list[DataError] = []
    frames = load_card(folders[data.card], problems.append, data.length)
    _check_rate(frames, data)
    target = targets(frames.label, data.classes)
    chosen = split_frames(target, frames.snr_db, frames.group, data)[split]
    if split == "test" and data.open_set:
        strange = np.flatnonzero(np.isin(frames.label, data.open_set))
        chosen = np.sort(np.concatenate([chosen, strange])).astype(np.int64)
    return FrameItems(config, frames, target, chosen, problems)


def items(config: ModulationRun, chunk: xr.Dataset) -> Items:
    """Items to predict from labelled frames or windows; targets are known where labels are.

    Raises:
        DataError: frames of another length or sample rate than the model's, or of an unknown rate.
    """
    frames = Frames.from_dataset(chunk)
    _check_length(frames, config.data)
    _check_rate(frames, config.data)
    problems, usable = _usable(frames)
    capture = bool(chunk.attrs.get("capture", frames.start.any()))
    return FrameItems(config, frames, targets(frames.label, config.data.classes), usable, problems, capture)


def targets(labels: np.ndarray, classes: tuple[str, ...]) -> Int64[np.ndarray, " n"]:
    """Place of each label in `classes`; -1 for labels of none."""
    place = {name: number for number, name in enumerate(classes)}
    names, inverse = np.unique(labels, return_inverse=True)
    return np.array([place.get(str(name), -1) for name in names], np.int64)[inverse.reshape(-1)]


class _Maker:
    """The generator that stands for a card, with the run's classes and noise rule. Can be sent to a worker.

    Raises:
        ConfigError: no generator stands for the card, or it has not the classes or the length asked for.
    """

    def __init__(self, data: ModulationData) -> None:
        if data.card not in _GENERATORS:
            raise ConfigError(
                f"data.generator: no generator stands for the card '{data.card}'{near_miss(data.card, _GENERATORS)}"
            )
        assert data.generator is not None
        module, _, name = _GENERATORS[data.card].partition(":")
        self._make: Any = getattr(importlib.import_module(module), name)(data.generator.noise, data.length)
        unknown = [name for name in data.classes if name not in self._make.classes]
        if unknown:
            raise ConfigError(
                f"data.classes: the generator of {data.card} has no {', '.join(unknown)}; it has "
                f"{', '.join(self._make.classes)}"
            )
        self._place = np.array([self._make.classes.index(name) for name in data.classes], np.int64)

    def __call__(
        self, place: Int64[np.ndarray, " n"], snr_db: Float32[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> Float32[np.ndarray, "n 2 l"]:
        return self._make(self._place[place], snr_db, seeds)


def _check_length(frames: Frames, data: ModulationData) -> None:
    if frames.length != data.length:
        raise DataError(
            f"frames of {frames.length} samples, the model takes {data.length}",
            path=", ".join(frames.sources) or None,
            advice=f"Read windows of that length: --set predict.window={data.length}, or train with data.length.",
        )


def _check_rate(frames: Frames, data: ModulationData) -> None:
    rate, path = frames.sample_rate_hz, ", ".join(frames.sources) or None
    if np.isnan(rate):
        raise DataError(
            f"the sample rate is unknown; the model was trained at {data.sample_rate_hz:g} Hz",
            path=path,
            advice="Say it with --set predict.sample_rate_hz=RATE.",
        )
    if abs(rate - data.sample_rate_hz) > 1e-6 * data.sample_rate_hz:
        raise DataError(
            f"sampled at {rate:g} Hz, the model was trained at {data.sample_rate_hz:g} Hz",
            path=path,
            advice="Resample the recording, or train with data.sample_rate_hz as the recording has it.",
        )


def _usable(frames: Frames) -> tuple[list[DataError], Int64[np.ndarray, " m"]]:
    """Frames with finite samples that are not all zero, and a problem for each other one."""
    iq = np.asarray(frames.iq)
    finite = np.asarray(np.isfinite(iq).all((1, 2)))
    filled = np.asarray((iq != 0).any((1, 2)))
    problems = [
        DataError(
            "samples that are not finite" if not finite[i] else "all samples are zero",
            path=", ".join(frames.sources) or None,
            item=str(frames.id[i]),
            advice="The frame is left out.",
        )
        for i in np.flatnonzero(~(finite & filled))
    ]
    return problems, np.flatnonzero(finite & filled).astype(np.int64)
