"""The best pairing of outputs with what they should be, for sets of outputs that have no order of their own."""

from functools import cache
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy.optimize import linear_sum_assignment
from torch import Tensor

_EXHAUSTIVE = 3  # up to six orders are tried in one tensor operation; beyond, one assignment problem an item is cheaper
_FAR = 1e9  # in place of what is not finite: worse (or better) than any finite score, and sums of it stay finite


def best_order(scores: Float[Tensor, "b k k"]) -> Int[Tensor, "b k"]:
    """The output for each target, so that Σ_j scores[order[j], j] is largest; rows are outputs, columns targets.

    All orders are tried for up to three, and the first in lexical order wins a tie, so that equal scores leave things
    as they are; from four on the assignment problem is solved on the CPU, O(k^3) an item, and a tie falls as SciPy has
    it. NaN counts as the worst score of all, so that there always is an answer. No gradient flows through the choice.

    References:
        Yu et al. 2017, "Permutation invariant training of deep models for speaker-independent multi-talker speech
        separation".
        Kuhn 1955, "The Hungarian method for the assignment problem".
    """
    scores = scores.detach().double().nan_to_num(nan=-_FAR, posinf=_FAR, neginf=-_FAR)
    return _tried(scores) if scores.shape[-1] <= _EXHAUSTIVE else _assigned(scores)


def in_order(values: Shaped[Tensor, "b k *rest"], order: Int[Tensor, "b k"]) -> Shaped[Tensor, "b k *rest"]:
    """The outputs (b, k, ...) in the order of the targets."""
    index = order.reshape(*order.shape, *(1,) * (values.ndim - 2))
    return values.gather(1, index.expand(-1, -1, *values.shape[2:]))


def matched(scores: Float[Tensor, "b k k"], order: Int[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """scores[order[j], j] for each target j, with gradients."""
    return scores.gather(1, order.unsqueeze(1)).squeeze(1)


def _tried(scores: Tensor) -> Tensor:
    """The best of all k! orders."""
    number = scores.shape[-1]
    orders = torch.tensor(_orders(number), device=scores.device).reshape(-1, number)
    totals = scores[:, orders, torch.arange(number, device=scores.device)].sum(-1)
    return orders[totals.argmax(-1)]


def _assigned(scores: Tensor) -> Tensor:
    """The best order of each item as an assignment problem: targets are its rows."""
    if scores.is_meta:
        return torch.arange(scores.shape[-1], device=scores.device).expand(len(scores), -1)
    tables = scores.mT.cpu().numpy()
    found = [linear_sum_assignment(table, maximize=True)[1] for table in tables]
    order = np.array(found, np.int64).reshape(len(tables), scores.shape[-1])
    return torch.from_numpy(order).to(scores.device)


@cache
def _orders(number: int) -> tuple[tuple[int, ...], ...]:
    return tuple(permutations(range(number)))
