"""Newton's method with a trust region and box bounds, for many small problems at once."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_FLATTEST = 1e-3  # curvatures are taken as their absolute value, at least this [nat]
_FIRST_RADIUS = 2.0
_SMALLEST_RADIUS = 1e-8


@dataclass(frozen=True)
class Evaluation:
    """Value, gradient and exact Hessian of b functions of d parameters; value is inf where a function has none."""

    value: Float[Tensor, " b"]
    gradient: Float[Tensor, "b d"]
    hessian: Float[Tensor, "b d d"]


@runtime_checkable
class Objective(Protocol):
    """b functions to be minimised, each of its own d parameters."""

    def evaluate(self, parameters: Tensor) -> Evaluation: ...

    def take(self, keep: Tensor) -> "Objective": ...


@dataclass(frozen=True)
class Minimum:
    """Where each function is smallest, whether that was reached, and how often the function was evaluated."""

    parameters: Float[Tensor, "b d"]
    converged: Bool[Tensor, " b"]
    evaluations: Int64[Tensor, " b"]


@dataclass
class _Search:
    """State of the problems that still run; `place` is their row in the result."""

    objective: Objective
    place: Int64[Tensor, " b"]
    at: Float[Tensor, "b d"]
    lower: Float[Tensor, "b d"]
    upper: Float[Tensor, "b d"]
    radius: Float[Tensor, " b"]
    now: Evaluation

    def take(self, keep: Tensor) -> "_Search":
        now = Evaluation(self.now.value[keep], self.now.gradient[keep], self.now.hessian[keep])
        rows = {name: getattr(self, name)[keep] for name in ("place", "at", "lower", "upper", "radius")}
        return _Search(objective=self.objective.take(keep), now=now, **rows)


def minimise(
    objective: Objective,
    start: Float[Tensor, "b d"],
    lower: Float[Tensor, "b d"],
    upper: Float[Tensor, "b d"],
    tolerance: float,
    max_evaluations: int = 60,
) -> Minimum:
    """Minimise b functions within bounds; those that are done leave the batch.

    A problem has converged when its next full step is expected to gain less than `tolerance`; that step is still
    taken, unchecked: for an exact Hessian its own error is of third order in its length.

    References:
        Nocedal & Wright 2006, "Numerical Optimization", algorithm 4.1 and section 16.7 (gradient projection).
    """
    result = start.clone()
    converged = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    evaluations = torch.ones(len(start), dtype=torch.int64, device=start.device)
    place = torch.arange(len(start), device=start.device)
    radius = torch.full_like(start[:, 0], _FIRST_RADIUS)
    search = _Search(objective, place, start, lower, upper, radius, objective.evaluate(start))
    for _ in range(max_evaluations - 1):
        step, gain = _bounded_step(search)
        done = gain < tolerance
        stuck = ~torch.isfinite(gain) | (search.radius < _SMALLEST_RADIUS)
        result[search.place] = torch.where(done[:, None], search.at + step, search.at)
        converged[search.place] = done & ~stuck
        leaving = done | stuck
        if leaving.all():
            break
        if leaving.any():
            search, step = search.take(~leaving), step[~leaving]
        _advance(search, step)
        evaluations[search.place] += 1
    return Minimum(result, converged, evaluations)


def _advance(search: _Search, step: Float[Tensor, "b d"]) -> None:
    """Try the step; keep it where the function falls, and widen or narrow the region by how well it was foretold."""
    trial = search.at + step
    new, now = search.objective.evaluate(trial), search.now
    fall = now.value - new.value
    foretold = -(now.gradient * step).sum(-1) - 0.5 * ((now.hessian @ step[..., None])[..., 0] * step).sum(-1)
    length = step.norm(dim=-1)
    better = fall > 0
    close, poor = (fall > 0.75 * foretold) & better, ~better | (fall < 0.25 * foretold)
    search.radius = torch.where(
        poor, 0.25 * length, torch.where(close, (2 * length).maximum(search.radius), search.radius)
    )
    search.at = torch.where(better[:, None], trial, search.at)
    search.now = Evaluation(
        torch.where(better, new.value, now.value),
        torch.where(better[:, None], new.gradient, now.gradient),
        torch.where(better[:, None, None], new.hessian, now.hessian),
    )


def _bounded_step(search: _Search) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
    """Newton step within radius and bounds, and what the unbounded one would gain.

    A parameter at a bound is frozen when its gradient, or else its part of the step, points outwards.
    """
    gradient, at = search.now.gradient, search.at
    at_lower, at_upper = at <= search.lower, at >= search.upper
    frozen = (at_lower & (gradient > 0)) | (at_upper & (gradient < 0))
    step, gain = _newton_step(search.now, frozen)
    leaving = (at_lower & (step < 0)) | (at_upper & (step > 0))
    if leaving.any():
        step, gain = _newton_step(search.now, frozen | leaving)
    length = step.norm(dim=-1, keepdim=True)
    step = step * (search.radius[:, None] / length.clamp_min(1e-300)).clamp_max(1)
    return torch.clamp(at + step, search.lower, search.upper) - at, gain


def _newton_step(now: Evaluation, frozen: Bool[Tensor, "b d"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
    """-|H|^-1 g over the parameters that are free, and half of g |H|^-1 g, its gain."""
    gradient = torch.where(frozen, 0.0, now.gradient)
    coupled = ~(frozen[:, :, None] | frozen[:, None, :])
    hessian = torch.where(coupled, now.hessian, 0.0)
    usable = torch.isfinite(hessian).all(-1).all(-1) & torch.isfinite(gradient).all(-1)
    curvature, axes = torch.linalg.eigh(torch.where(usable[:, None, None], hessian, 0.0))
    along = (axes.mT @ gradient[..., None])[..., 0]
    scaled = along / curvature.abs().clamp_min(_FLATTEST)
    step = -(axes @ scaled[..., None])[..., 0]
    gain = 0.5 * (along * scaled).sum(-1)
    return step, torch.where(usable, gain, torch.nan)
