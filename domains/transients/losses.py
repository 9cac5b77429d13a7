"""Training losses of the transients domain."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

CLIP = 1e-15


def class_balanced_log_loss(scores: Float[Tensor, "b k"], target: Int64[Tensor, " b"]) -> Float[Tensor, ""]:
    """-(1/C) sum_c (1/n_c) sum_{i in c} ln p_ic [nat], p = softmax(scores) clipped to [1e-15, 1 - 1e-15].

    n_c counts the batch, C the classes that occur in it. Items without a class (target -1) do not count; without any
    item the loss is 0.

    References:
        Allam & McEwen 2021, arXiv 2105.06178, section 5.3.
    """
    known = target >= 0
    scores, target = scores[known], target[known]
    log_probability = scores.log_softmax(-1).gather(1, target.unsqueeze(1)).squeeze(1)
    loss = -log_probability.clamp(math.log(CLIP), math.log1p(-CLIP))
    counts = torch.bincount(target, minlength=scores.shape[1])
    present = (counts > 0).sum().clamp(min=1)
    return (loss / counts[target].to(loss.dtype)).sum() / present
