"""Outputs of a model, batch by batch, as one labelled Dataset of predictions; windows of a capture are smoothed."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import xarray as xr
from jaxtyping import Float32, Int64

from armillary.core.domain import Items
from armillary.domains.modulation.detection import detect
from armillary.domains.modulation.items import FrameItems
from armillary.domains.modulation.settings import ModulationPredict, ModulationRun

_PER_ITEM: Mapping[str, tuple[str, ...]] = {"probability": ("class",), "open_set_score": (), "typicality": ()}


def assemble(config: ModulationRun, items: Items, outputs: Sequence[Mapping[str, np.ndarray]]) -> xr.Dataset:
    """Predictions in the order of the items, with truth (-1: unknown), SNR label and group of each.

    Windows of a capture also tell their source and first sample and, with predict.detect, whether they hold a burst.
    Windows that came again as context of later ones are left out.
    """
    frames = cast(FrameItems, items)
    order = np.argsort(np.concatenate([output["index"] for output in outputs])) if outputs else np.zeros(0, np.int64)
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "truth": (("item",), np.asarray(frames.targets, np.int64)),
        "group": (("item",), np.asarray(frames.groups).astype(np.str_)),
        "snr_db": (("item",), np.asarray(frames.snr_db, np.float32)),
    }
    for name, axes in _PER_ITEM.items():
        if outputs and name in outputs[0]:
            variables[name] = (("item", *axes), np.concatenate([output[name] for output in outputs])[order])
    if frames.capture:
        variables |= _in_time(frames, config.predict)
        if "probability" in variables:
            axes, probability = variables["probability"]
            variables["probability"] = (axes, smooth(probability, _chains(config, frames), config.predict.smooth))
    coordinates = {"item": np.asarray(frames.ids).astype(np.str_), "class": list(config.data.classes)}
    dataset = xr.Dataset(variables, coordinates, _attrs(config, frames))
    dataset["snr_db"].attrs["units"] = "dB"
    return dataset.isel(item=slice(frames.frames.lead, None))


def smooth(
    probability: Float32[np.ndarray, "n k"], chain: Int64[np.ndarray, " n"], width: int
) -> Float32[np.ndarray, "n k"]:
    """Each row's normalised geometric mean with up to `width` - 1 rows before it in the same chain."""
    if width == 1 or len(probability) == 0:
        return probability
    logs = np.log(np.maximum(probability.astype(np.float64), 1e-12))
    total = np.concatenate([np.zeros((1, logs.shape[1])), np.cumsum(logs, 0)])
    row = np.arange(len(chain))
    first = np.maximum.accumulate(np.where(np.r_[True, np.diff(chain) != 0], row, 0))
    start = np.maximum(row - width + 1, first)
    mean = (total[row + 1] - total[start]) / (row + 1 - start)[:, None]
    weight = np.exp(mean - mean.max(1, keepdims=True))
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)


def _chains(config: ModulationRun, items: FrameItems) -> Int64[np.ndarray, " n"]:
    """A number for each unbroken row of windows: same source, one hop apart."""
    start, source = items.frames.start[items.chosen], items.frames.group[items.chosen]
    hop = config.predict.hop or config.predict.window
    breaks = (np.diff(start) != hop) | (source[1:] != source[:-1])
    return np.concatenate([[0], np.cumsum(breaks)]).astype(np.int64)[: len(start)]


def _in_time(items: FrameItems, settings: ModulationPredict) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Place of each window in its recording and, where that was asked for, whether it holds a burst."""
    frames, chosen = items.frames, items.chosen
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "start": (("item",), frames.start[chosen]),
        "source": (("item",), frames.group[chosen].astype(np.str_)),
    }
    if settings.detect != "none":
        variables["detected"] = (("item",), detect(items.iq(np.arange(len(items))), settings).detected)
    return variables


def _attrs(config: ModulationRun, items: FrameItems) -> dict[str, object]:
    attrs: dict[str, object] = {
        "recipe": config.recipe,
        "sample_rate_hz": items.frames.sample_rate_hz,
        "window": config.data.length,
        "hop": config.predict.hop or config.predict.window,
    }
    if np.isfinite(items.frames.centre_hz):
        attrs["centre_hz"] = items.frames.centre_hz
    if config.predict.reject is not None:
        attrs["reject"] = config.predict.reject
    return attrs
