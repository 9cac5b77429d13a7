"""Outputs of a model, batch by batch, as one labelled Dataset: scores of known voices, or estimates."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import xarray as xr
from jaxtyping import Float32, Int64

from armillary.core.domain import Items
from armillary.domains.speech.items import MixtureItems, WindowItems
from armillary.domains.speech.settings import SpeechRun

Outputs = Sequence[Mapping[str, np.ndarray]]


@runtime_checkable
class KnownItems(Items, Protocol):
    """Mixtures whose voices are known.

    known: "speakers" and "sexes" (n, k); lengths (n,): samples of each mixture.
    """

    known: Mapping[str, np.ndarray]
    lengths: np.ndarray


_RATIOS = ("stoi", "pesq")  # scores without a unit; all others are in dB
_SAMPLES = {"units": "1", "long_name": "voice, full scale 1"}


def assemble(config: SpeechRun, items: Items, outputs: Outputs) -> xr.Dataset:
    """Records in the order of the items: scores of each voice with who speaks, or estimates where there are no scores.

    Windows of files keep all that they came with. Estimates of known mixtures come with their `length` [samples].
    """
    if isinstance(items, WindowItems):
        return _windows(config, items, outputs)
    known = cast(KnownItems, items)
    if outputs and "estimate" in outputs[0]:
        return _estimates(config, known, outputs)
    return _records(config, known, outputs)


def _records(config: SpeechRun, items: KnownItems, outputs: Outputs) -> xr.Dataset:
    both = ("item", "source")
    variables: dict[str, Any] = {
        "group": ("item", np.asarray(items.groups).astype(np.str_)),
        "seconds": ("item", _seconds(config, items), {"units": "s"}),
        "speaker": (both, np.asarray(items.known["speakers"]).astype(np.str_)),
        "sex": (both, np.asarray(items.known["sexes"]).astype(np.str_)),
    }
    place = _places(outputs)
    for name in outputs[0] if outputs else ():
        if name != "index":
            values = np.concatenate([output[name] for output in outputs])[np.argsort(place)]
            unit = "1" if name.removesuffix("_mixture") in _RATIOS else "dB"
            variables[name] = (both, values.astype(np.float32), {"units": unit})
    return xr.Dataset(variables, _coordinates(config, items), _attrs(config))


def _windows(config: SpeechRun, items: WindowItems, outputs: Outputs) -> xr.Dataset:
    chunk = items.chunk
    estimate = _rows(config, outputs, len(items), chunk.sizes["sample"])
    found = chunk.assign(estimate=(("item", "source", "sample"), estimate, _SAMPLES))
    found = found.assign_coords(_coordinates(config, items))
    how = {"level": config.predict.level, "format": config.predict.format}
    return found.assign_attrs({**_attrs(config), **how})


def _estimates(config: SpeechRun, items: KnownItems, outputs: Outputs) -> xr.Dataset:
    estimate = _rows(config, outputs, len(items), int(items.lengths.max(initial=0)))
    variables: dict[str, Any] = {
        "estimate": (("item", "source", "sample"), estimate, _SAMPLES),
        "length": ("item", np.asarray(items.lengths, np.int64)),
        "group": ("item", np.asarray(items.groups).astype(np.str_)),
    }
    return xr.Dataset(variables, _coordinates(config, items), _attrs(config))


def _rows(config: SpeechRun, outputs: Outputs, num_items: int, samples: int) -> Float32[np.ndarray, "n k t"]:
    """Estimates of batches of different lengths in one array, zeros behind the shorter ones."""
    rows = np.zeros((num_items, config.data.voices, samples), np.float32)
    for output in outputs:
        part = output["estimate"][..., :samples]
        rows[output["index"].astype(np.int64), :, : part.shape[-1]] = part
    return rows


def _places(outputs: Outputs) -> Int64[np.ndarray, " n"]:
    if not outputs:
        return np.zeros(0, np.int64)
    return np.concatenate([output["index"] for output in outputs]).astype(np.int64)


def _seconds(config: SpeechRun, items: KnownItems) -> Float32[np.ndarray, " n"]:
    if isinstance(items, MixtureItems):
        return items.seconds
    return (items.lengths / config.data.sample_rate_hz).astype(np.float32)


def _coordinates(config: SpeechRun, items: Items) -> dict[str, np.ndarray]:
    return {"item": np.asarray(items.ids).astype(np.str_), "source": np.arange(1, config.data.voices + 1)}


def _attrs(config: SpeechRun) -> dict[str, Any]:
    return {
        "recipe": config.recipe,
        "sample_rate_hz": config.data.sample_rate_hz,
        "voices": config.data.voices,
    }
