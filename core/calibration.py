"""Calibration of class scores on held-out data: one temperature, alone or with one shift a class."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

_MAX_EVALUATIONS = 200


def fit_vector_scaling(
    scores: Float[Tensor, "n k"], target: Int[Tensor, " n"], weight: Float[Tensor, " n"]
) -> tuple[Float[Tensor, ""], Float[Tensor, " k"]]:
    """Temperature factor a and shifts b (b_0 = 0) that minimise the weighted log loss of softmax(a s + b).

    `scores` are logits of items that no step was trained on, `weight` how much each item counts. The problem is
    convex in (a, b); it is solved in float64 by L-BFGS from a = 1, b = 0. Fewer than two classes leave it there.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", section 4.2 (temperature and vector scaling).
    """
    scores, weight = scores.double(), weight.double()
    free = torch.zeros(scores.shape[1], dtype=torch.float64)
    free[0] = 1.0
    if len(scores) == 0 or target.unique().numel() < 2:
        return torch.tensor(1.0), torch.zeros(scores.shape[1])

    def loss(free: Tensor) -> Tensor:
        each = F.cross_entropy(scores * free[0] + _shifts(free), target, reduction="none")
        return (each * weight).sum() / weight.sum()

    found = _minimise(loss, free)
    return found[0].float(), _shifts(found).float()


def fit_temperature(scores: Float[Tensor, "n k"], target: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """The factor a > 0 that minimises the log loss of softmax(a s), on scores that no step was trained on.

    Fewer than two classes, or no item, leave it at 1.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", section 4.2 (temperature scaling, T = 1 / a).
    """
    if len(scores) == 0 or target.unique().numel() < 2:
        return torch.tensor(1.0)
    scores = scores.double()
    found = _minimise(lambda free: F.cross_entropy(scores * free.exp(), target), torch.zeros(1, dtype=torch.float64))
    return found[0].exp().float()


def _minimise(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Where a smooth convex function of a few numbers is least, by L-BFGS."""
    with torch.enable_grad():
        free = start.requires_grad_()
        solver = torch.optim.LBFGS(
            [free], max_iter=_MAX_EVALUATIONS, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            solver.zero_grad()
            value = loss(free)
            value.backward()
            return value

        solver.step(closure)  # pyright: ignore[reportUnknownMemberType, reportArgumentType]
    return free.detach()


def _shifts(free: Tensor) -> Tensor:
    return torch.cat([free.new_zeros(1), free[1:]])
