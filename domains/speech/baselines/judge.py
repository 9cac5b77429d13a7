"""Records of any method that turns a mixture into voices."""

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float32

from armillary.core.domain import Item, Items
from armillary.domains.speech.assemble import assemble
from armillary.domains.speech.metrics.scores import scores
from armillary.domains.speech.separator import level_db
from armillary.domains.speech.settings import SpeechRun

# From an item, {"mixture" (t,), "sources" (k, t), "index"}, to as many voices. Only oracles look at the sources.
Separate = Callable[[Item], Float32[np.ndarray, "k t"]]


def judge(config: SpeechRun, items: Items, separate: Separate) -> xr.Dataset:
    """Records of all items, of the same scores as the model's."""
    outputs: list[dict[str, np.ndarray]] = []
    for index in range(len(items)):
        item = items[(0, index)]
        estimates, sources, mixture = (
            torch.from_numpy(np.asarray(signals, np.float32))[None]
            for signals in (separate(item), item["sources"], item["mixture"])
        )
        found = scores(estimates, sources, mixture, None, config.data.sample_rate_hz, config.predict.scores)
        found["level_db"] = level_db(sources, mixture)
        outputs.append({**{name: value.numpy() for name, value in found.items()}, "index": np.array([index])})
    return assemble(config, items, outputs)
