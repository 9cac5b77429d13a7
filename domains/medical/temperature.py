"""One temperature for the scores of a classifier, chosen on validation."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor

LOWEST, HIGHEST = 0.1, 10.0


def fit_temperature(loss: Callable[[Tensor], Tensor], scores: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """The T in [0.1, 10] for which loss(scores / T) is least; 1 where no T is better than that.

    A bounded search of one number: few positives may be told apart without a mistake, and the least loss is then at
    infinite certainty, which T = 0.1 stands for. The loss has to be convex in 1 / T, as cross entropies are.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
    """
    if not len(scores):
        return torch.ones(())
    scores = scores.double()

    def at(log_temperature: float) -> float:
        return float(loss(scores / float(np.exp(log_temperature))))

    found = minimize_scalar(at, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-4})
    better = np.isfinite(found.fun) and found.fun < at(0.0)
    return torch.tensor(float(np.exp(found.x)) if better else 1.0)
