"""Scores that are computed one voice at a time, outside of torch."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

Signal = Float32[np.ndarray, " t"]


def each_voice(
    score: Callable[[Signal, Signal], float],
    estimates: Float[Tensor, "b k t"],
    sources: Float[Tensor, "b k t"],
    length: Int[Tensor, " b"] | None,
) -> Float[Tensor, "b k"]:
    """score(source, estimate) of every voice, cut to its length; NaN where one of both is not finite or nothing."""
    ours, theirs = (signals.detach().float().cpu().numpy() for signals in (estimates, sources))
    lengths = [ours.shape[-1]] * len(ours) if length is None else length.tolist()
    found = np.full(ours.shape[:2], np.nan, np.float32)
    for item, samples in enumerate(lengths):
        for voice in range(ours.shape[1]):
            source, estimate = theirs[item, voice, :samples], ours[item, voice, :samples]
            if np.isfinite(source).all() and np.isfinite(estimate).all() and source.any():
                found[item, voice] = score(source, estimate)
    return torch.from_numpy(found).to(sources.device)
