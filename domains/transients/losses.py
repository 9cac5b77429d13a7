"""Training losses of the transients domain."""

import math

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

CLIP = 1e-15


def class_balanced_log_loss(scores: Float[Tensor, "b k"], target: Int64[Tensor, " b"]) -> Float[Tensor, ""]:
    """-(1/C) sum_c (1/n_c) sum_{i in c} ln p_ic [nat], p = softmax(scores) clipped to [1e-15, 1 - 1e-15].

    n_c counts the batch, C the classes that occur in it. Items without a class (target -1) do not count; without any
    item the loss is 0.

    References:
        Allam & McEwen 2021, arXiv 2105.06178, section 5.3.
    """
    member = F.one_hot(target.clamp(min=0), scores.shape[1]).to(scores.dtype) * (target >= 0).unsqueeze(1)
    loss = -scores.log_softmax(-1).clamp(math.log(CLIP), math.log1p(-CLIP))
    counts = member.sum(0)
    mean = (member * loss).sum(0) / counts.clamp(min=1)
    return mean.sum() / (counts > 0).sum().clamp(min=1)
