"""Where a classifier looked: a map over the image for each label, from gradients or from attention."""

from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.errors import ConfigError

_SMOOTH = 24  # the map is smoothed over this share of the image's shorter side
_REACH = 3.0  # deviations of a Gaussian that are kept


def explain(
    model: nn.Module, image: Float[Tensor, "b c *s"], how: Literal["gradient", "attention"]
) -> Float[Tensor, "b k *s"]:
    """A map in [0, 1] over each image and label; 1 where that image's label depends on the grey values most.

    model: (b, c, *s) -> scores (b, k), with or without a `network` that it normalises images for. gradient: magnitude
    of the score's gradient, summed over channels and smoothed; k passes backwards, also under `no_grad` and
    `inference_mode`. attention: the network's own attention_map, the same for all labels. An even map is zero.

    Maps show what the score depends on, which need not be where a finding is.

    Raises:
        ConfigError: attention of a network without an attention map.

    References:
        Simonyan, Vedaldi and Zisserman 2014, "Deep inside convolutional networks" (gradients of a class score).
    """
    return _gradient(model, image) if how == "gradient" else _attention(model, image)


def _gradient(model: nn.Module, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k *s"]:
    with torch.inference_mode(False), torch.enable_grad():
        # A clone made here belongs to the graph, whatever mode the image came from.
        seen = image.detach().clone().requires_grad_()
        scores: Tensor = model(seen)
        count = scores.shape[1]
        # Items of a batch do not mix, so that the gradient of the sum holds each item's own.
        maps = [torch.autograd.grad(scores[:, k].sum(), seen, retain_graph=k + 1 < count)[0] for k in range(count)]
        size = torch.stack([found.detach().abs().sum(1) for found in maps], 1)
    return _unit(smoothed(size.float()))


def _attention(model: nn.Module, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k *s"]:
    network: Any = getattr(model, "network", model)
    if not hasattr(network, "attention_map"):
        raise _no_attention(f"the network {type(network).__name__} has no attention map")
    normalised = getattr(model, "normalised", None)
    seen = image if normalised is None else cast(Tensor, normalised(image))
    try:
        grid = cast(Tensor, network.attention_map(seen))
    except ValueError as error:
        raise _no_attention(str(error)) from error
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[image.ndim - 2]
    wide = functional.interpolate(grid.float()[:, None], size=image.shape[2:], mode=mode, align_corners=False)
    return _unit(wide).repeat(1, int(model(image).shape[1]), *(1,) * (image.ndim - 2))


def _no_attention(reason: str) -> ConfigError:
    return ConfigError(f"predict.maps=attention: {reason}.\n  Set predict.maps=gradient, which any network has.")


def smoothed(maps: Float[Tensor, "b k *s"]) -> Float[Tensor, "b k *s"]:
    """Each map under a Gaussian whose deviation is 1/24 of the shorter side, one pixel at least; edges are repeated."""
    sides = maps.shape[2:]
    deviation = max(min(sides) / _SMOOTH, 1.0)
    reach = min(int(_REACH * deviation + 0.5), min(sides) - 1)
    if reach < 1:
        return maps
    away = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    bell = torch.exp(-0.5 * (away / deviation) ** 2)
    bell = bell / bell.sum()
    for axis in range(2, maps.ndim):
        maps = _convolved(maps, bell, axis)
    return maps


def _convolved(maps: Float[Tensor, "b k *s"], bell: Float[Tensor, " n"], axis: int) -> Float[Tensor, "b k *s"]:
    last = maps.movedim(axis, -1)
    rows = functional.pad(last.reshape(-1, 1, last.shape[-1]), (len(bell) // 2,) * 2, mode="replicate")
    return functional.conv1d(rows, bell[None, None]).reshape(last.shape).movedim(-1, axis)


def _unit(maps: Float[Tensor, "b k *s"]) -> Float[Tensor, "b k *s"]:
    """From the lowest value of each map to the highest, as 0 to 1; 0 where they are equal or not finite."""
    flat = maps.flatten(2).nan_to_num(0.0, 0.0, 0.0)
    low, high = flat.amin(-1, keepdim=True), flat.amax(-1, keepdim=True)
    apart = (high - low).clamp(min=torch.finfo(maps.dtype).tiny)
    return ((flat - low) / apart).clamp(0, 1).reshape(maps.shape)
