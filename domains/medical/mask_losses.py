"""Losses of masks, over the places that somebody has looked at."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def entropy_loss(
    logits: Float[Tensor, "b k *s"], truth: Float[Tensor, "b k *s"], known: Bool[Tensor, "b k *s"]
) -> Float[Tensor, ""]:
    """Mean binary cross entropy [nat] over known places; zero where none is."""
    each = functional.binary_cross_entropy_with_logits(logits, truth.where(known, 0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def dice_loss(
    logits: Float[Tensor, "b k *s"], truth: Float[Tensor, "b k *s"], known: Bool[Tensor, "b k *s"]
) -> Float[Tensor, ""]:
    """Mean over items and structures of 1 - (2 Σ p y + 1) / (Σ p + Σ y + 1), with p = sigmoid(logits).

    The ones keep it defined for what is not there: an empty structure costs less, the less of it is found. Structures
    that are unlabelled everywhere in an item do not count.

    References:
        Milletari et al. 2016, "V-Net", section 3 (with squares in the denominator).
    """
    probability, truth = logits.sigmoid() * known, truth.where(known, 0.0)
    shared = (probability * truth).flatten(2).sum(2)
    each = 1 - (2 * shared + 1) / (probability.flatten(2).sum(2) + truth.flatten(2).sum(2) + 1)
    labelled = known.flatten(2).any(2)
    return (each * labelled).sum() / labelled.sum().clamp(min=1)
