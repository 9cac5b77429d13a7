"""Runs a model over items, without gradients, in their order."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from torch.utils.data import DataLoader

from armillary.core.config import RunConfig
from armillary.core.domain import Batch, Domain, Items
from armillary.pipelines.sampling import item_lengths, plain_batches


def choose_device(name: str) -> torch.device:
    """'auto' is the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def batches(items: Items, batch_size: int, workers: int = 0) -> Iterator[Batch]:
    """All items once, plain (epoch 0); ragged ones sorted by length to save padding. 'index' tells the place."""
    loader = DataLoader(
        items,  # pyright: ignore[reportArgumentType]
        batch_sampler=plain_batches(len(items), batch_size, item_lengths(items)),
        collate_fn=items.collate,
        num_workers=workers,
    )
    yield from loader


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on a device."""
    return {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}


def predict_items(
    domain: Domain,
    config: RunConfig,
    model: nn.Module,
    items: Items,
    *,
    batch_size: int | None = None,
    workers: int = 0,
    device: torch.device | None = None,
) -> xr.Dataset:
    """Predictions for every item as one labelled Dataset, in the order of the items.

    A model that yields several outputs a batch (a rollout, samples) has them joined in that order.
    """
    device = device or choose_device(config.train.device)
    outputs: list[dict[str, np.ndarray]] = []
    was_training = model.training
    model.eval().to(device)
    try:
        with torch.inference_mode():
            for batch in batches(items, batch_size or config.evaluate.batch_size, workers):
                outputs += [_numpy(out, batch) for out in model.predict(to_device(batch, device), config.predict)]  # pyright: ignore[reportCallIssue]
    finally:
        model.train(was_training)
    return domain.assemble(config, items, outputs)


def _numpy(output: dict[str, Any], batch: Batch) -> dict[str, np.ndarray]:
    arrays = {name: value.detach().float().cpu().numpy() for name, value in output.items()}
    return {**arrays, "index": np.asarray(batch["index"].cpu())}


def join(records: Sequence[xr.Dataset]) -> xr.Dataset:
    """Predictions of several runs or chunks, one after another; ragged tracks are joined along their own axis."""
    if len(records) == 1:
        return records[0]
    item = [part.drop_dims("observation", errors="ignore") for part in records]
    joined = xr.concat(item, "item", data_vars="minimal", coords="minimal", compat="override", join="outer")
    if "observation" in records[0].dims:
        tracks = [part[[n for n in part.data_vars if "observation" in part[n].dims]] for part in records]
        joined = joined.merge(xr.concat(tracks, "observation", coords="minimal", compat="override"), compat="override")
    return joined
