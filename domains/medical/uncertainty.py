"""How unsure a classifier is: the spread over passes with dropout, or over several trained runs."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.errors import ConfigError
from armillary.core.mixers.attention import Attention
from armillary.core.mixers.gated_attention import GatedAttention
from armillary.core.random import derive_seed

_AT_ONCE = 16  # passes of one image in a batch: memory does not grow with their number


def dropout_spread(
    network: nn.Module,
    probability: Callable[[Tensor], Tensor],
    image: Float[Tensor, "b c *s"],
    passes: int,
    seed: int,
) -> Float[Tensor, "b k"]:
    """Standard deviation over `passes` of each probability while only dropout and drop path are switched on.

    probability: images (m, c, *s) to (m, k) by way of `network`. Every image meets the same passes, drawn from `seed`,
    so that its spread does not depend on the images beside it; global random state is left as it was.

    Raises:
        ConfigError: fewer than two passes, or a network in which nothing drops.

    References:
        Gal and Ghahramani 2016, "Dropout as a Bayesian approximation".
    """
    if passes < 2:
        raise ConfigError(f"predict.samples={passes}: a spread needs two passes at least; 0 leaves it out.")
    devices = [image.device] if image.device.type == "cuda" else []
    with torch.random.fork_rng(devices), dropping(network):
        return torch.stack([_spread(probability, single, passes, seed) for single in image])


def _spread(
    probability: Callable[[Tensor], Tensor], image: Float[Tensor, "c *s"], passes: int, seed: int
) -> Float[Tensor, " k"]:
    torch.manual_seed(derive_seed(seed, "dropout passes"))
    starts = range(0, passes, _AT_ONCE)
    parts = [probability(image.expand(min(_AT_ONCE, passes - start), *image.shape).contiguous()) for start in starts]
    return torch.cat(parts).std(0)


@contextmanager
def dropping(network: nn.Module) -> Generator[None, None, None]:
    """Dropout and drop path are active inside the block, all else stays as it was (batch norms among it).

    Raises:
        ConfigError: the network has nothing that drops.
    """
    chosen = [module for module in network.modules() if _rate(module) > 0]
    if not chosen:
        raise ConfigError(
            "predict.samples: nothing in this network drops, so that all passes would agree.\n"
            "  Train it with model.dropout or model.drop_path above 0, or take the spread of several runs."
        )
    before = [module.training for module in chosen]
    try:
        # Not train(): the modules inside keep their own mode.
        for module in chosen:
            module.training = True
        yield
    finally:
        for module, mode in zip(chosen, before, strict=True):
            module.training = mode


def _rate(module: nn.Module) -> float:
    """How often a module itself drops; 0 for one that never does."""
    if isinstance(module, Attention):
        return module.settings.dropout
    if isinstance(module, GatedAttention):
        return module.settings.attention_dropout
    if isinstance(module, nn.MultiheadAttention):
        return module.dropout
    if "drop" not in type(module).__name__.lower():
        return 0.0
    rates = (getattr(module, name, None) for name in ("rate", "p", "drop_prob"))
    return next((float(rate) for rate in rates if isinstance(rate, int | float)), 0.0)


def ensemble(predictions: Sequence[xr.Dataset]) -> xr.Dataset:
    """The mean probability of several runs on the same items, and their standard deviation as `uncertainty`.

    Thresholds are averaged along and `present` follows from both; all else is the first run's. Scores of masks do not
    average: of a segmenter, give predictions with probabilities (predict.keep_masks), whose scores are left out.

    Raises:
        ValueError: fewer than two, no probabilities, or other items or names than the first has.
    """
    if len(predictions) < 2:
        raise ValueError(f"an ensemble needs two predictions at least, got {len(predictions)}")
    first = predictions[0]
    for number, other in enumerate(predictions):
        _check_alike(first, other, number)
    stacked = np.stack([one["probability"].values for one in predictions])
    axes = first["probability"].dims
    found = first.drop_vars([name for name in ("dice", "iou", "hd95", "volume_share", "map") if name in first])
    found["probability"] = (axes, stacked.mean(0, dtype=np.float64).astype(np.float32), first["probability"].attrs)
    found["uncertainty"] = (axes, stacked.std(0, ddof=1, dtype=np.float64).astype(np.float32))
    if "threshold" in first:
        thresholds = np.mean([one["threshold"].values for one in predictions], 0, dtype=np.float64)
        found["threshold"] = (first["threshold"].dims, thresholds.astype(np.float32))
    if "present" in first:
        found["present"] = found["probability"] >= found["threshold"]
    return found.assign_attrs(members=len(predictions))


def _check_alike(first: xr.Dataset, other: xr.Dataset, number: int) -> None:
    if "probability" not in other:
        raise ValueError(
            f"prediction {number} holds no probabilities, which an ensemble averages; predict masks again with "
            "predict.keep_masks=true"
        )
    if other["probability"].dims != first["probability"].dims:
        raise ValueError(
            f"prediction {number} has the axes {other['probability'].dims}, the first {first['probability'].dims}; "
            "an ensemble is of runs of one task"
        )
    for axis in first["probability"].dims:
        same = first.sizes[axis] == other.sizes[axis]
        if axis in first.coords:
            same = same and np.array_equal(first[axis].values, other[axis].values)
        if not same:
            raise ValueError(
                f"prediction {number} differs from the first along '{axis}'; an ensemble needs the same items and "
                "names in the same order"
            )
