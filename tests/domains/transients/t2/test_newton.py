"""The batched minimiser on functions whose minimum is known."""

from dataclasses import dataclass

import torch

from armillary.domains.transients.t2.newton import Evaluation, minimise


@dataclass(frozen=True)
class Quadratic:
    """Half of (x - centre) H (x - centre), one for each row."""

    centre: torch.Tensor
    matrix: torch.Tensor

    def evaluate(self, parameters):
        away = parameters - self.centre
        gradient = (self.matrix @ away[..., None])[..., 0]
        return Evaluation(0.5 * (away * gradient).sum(-1), gradient, self.matrix.expand(len(away), 2, 2).clone())

    def take(self, keep):
        return Quadratic(self.centre[keep], self.matrix)


@dataclass(frozen=True)
class Rosenbrock:
    """(1 - x)^2 + 100 (y - x^2)^2, inf where x > limit."""

    limit: torch.Tensor

    def evaluate(self, parameters):
        x, y = parameters.unbind(-1)
        value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        gradient = torch.stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)], -1)
        bend = torch.stack([2 - 400 * y + 1200 * x**2, -400 * x, -400 * x, torch.full_like(x, 200)], -1).view(-1, 2, 2)
        return Evaluation(torch.where(x > self.limit, torch.inf, value), gradient, bend)

    def take(self, keep):
        return Rosenbrock(self.limit[keep])


def box(like, low, high):
    return torch.full_like(like, low), torch.full_like(like, high)


def test_a_quadratic_within_reach_takes_two_evaluations():
    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    centre = torch.tensor([[1.0, -1.0], [0.3, 0.2]], dtype=torch.float64)
    start = torch.zeros_like(centre)
    found = minimise(Quadratic(centre, matrix), start, *box(start, -10, 10), tolerance=1e-8)
    torch.testing.assert_close(found.parameters, centre, rtol=0, atol=1e-12)
    assert found.evaluations.tolist() == [2, 2]
    assert found.converged.all()


def test_a_minimum_outside_the_box_is_replaced_by_the_best_point_on_its_edge():
    matrix = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    centre = torch.tensor([[5.0, 0.0], [0.0, -7.0], [5.0, 9.0]], dtype=torch.float64)
    start = torch.zeros_like(centre)
    found = minimise(Quadratic(centre, matrix), start, *box(start, -1, 1), tolerance=1e-10)
    # With x = 1 the best y solves 0.8 (1 - 5) + y = 0, that is 3.2, outside again; and so on.
    expected = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(found.parameters, expected, rtol=0, atol=1e-9)
    assert found.converged.all()


def test_a_bent_valley_is_followed_to_its_end_by_each_problem_in_its_own_time():
    start = torch.tensor([[-1.2, 1.0], [1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    limit = torch.full((3,), torch.inf, dtype=torch.float64)
    found = minimise(Rosenbrock(limit), start, *box(start, -5, 5), tolerance=1e-12, max_evaluations=200)
    torch.testing.assert_close(found.parameters, torch.ones_like(start), rtol=0, atol=1e-6)
    assert found.converged.all()
    assert found.evaluations[1] == 1 < found.evaluations[0]


def test_steps_into_a_region_without_value_are_taken_back():
    start = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    found = minimise(Rosenbrock(torch.zeros(1, dtype=torch.float64) + 1.5), start, *box(start, -5, 5), 1e-12, 200)
    torch.testing.assert_close(found.parameters, torch.ones_like(start), rtol=0, atol=1e-6)


def test_running_out_of_evaluations_is_told():
    start = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    limit = torch.full((1,), torch.inf, dtype=torch.float64)
    found = minimise(Rosenbrock(limit), start, *box(start, -5, 5), 1e-12, max_evaluations=3)
    assert not found.converged.any()
