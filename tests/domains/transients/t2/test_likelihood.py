"""The batched likelihood against a plain dense one, and its derivatives against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from armillary.domains.transients.t2.likelihood import Padded, Workspace
from armillary.domains.transients.t2.points import Points

SCALE = 6000.0
CPU = torch.device("cpu")


def dense_kernel(points: Points, rows: slice, log_amplitude: float, log_square: float) -> np.ndarray:
    """The kernel as the reference sheet writes it."""
    time, wavelength = points.time[rows], points.wavelength[rows]
    lag = (time[:, None] - time) ** 2 / np.exp(log_square) + (wavelength[:, None] - wavelength) ** 2 / SCALE**2
    r = np.sqrt(3 * lag)
    return np.exp(log_amplitude) * (1 + r) * np.exp(-r)


def dense_value(points: Points, index: int, log_amplitude: float, log_square: float) -> float:
    first = int(points.starts[index])
    rows = slice(first, first + int(points.row_size[index]))
    covariance = dense_kernel(points, rows, log_amplitude, log_square) + np.diag(points.flux_error[rows] ** 2)
    return -multivariate_normal(cov=covariance).logpdf(points.flux[rows])


def gather(points: Points, members: list[int]) -> Padded:
    return Padded.gather(points, np.array(members, np.int64), SCALE, Workspace(CPU))


def test_the_value_is_that_of_a_dense_multivariate_normal(make_points):
    points = make_points([5, 40, 17])
    parameters = torch.tensor([[8.0, 6.0], [9.0, 3.0], [2.0, 10.0]], dtype=torch.float64)
    found = gather(points, [0, 1, 2]).evaluate(parameters).value
    expected = [dense_value(points, i, *parameters[i].tolist()) for i in range(3)]
    # Both are backward stable in float64; the matrices' condition is below 1e5.
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_gradient_and_hessian_match_central_differences(make_points):
    padded = gather(make_points([30, 25, 8]), [0, 1, 2])
    parameters = torch.tensor([[8.0, 6.0], [9.0, 3.0], [5.0, 8.0]], dtype=torch.float64)
    there, width = padded.evaluate(parameters), 1e-5
    for axis in range(2):
        shift = width * torch.eye(2, dtype=torch.float64)[axis]
        above, below = padded.evaluate(parameters + shift), padded.evaluate(parameters - shift)
        slope = (above.value - below.value) / (2 * width)
        bend = (above.gradient - below.gradient) / (2 * width)
        # Central differences: truncation 1e-10, rounding about 1e-16 * 1e3 / 1e-5.
        torch.testing.assert_close(there.gradient[:, axis], slope, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(there.hessian[:, axis], bend, rtol=1e-6, atol=1e-6)


@given(shorter=st.integers(1, 20), longer=st.integers(21, 45), seed=st.integers(0, 50))
def test_padding_changes_neither_value_nor_derivatives(make_points_once, shorter, longer, seed):
    points = make_points_once([shorter, longer], seed)
    parameters = torch.tensor([[7.0, 5.0]], dtype=torch.float64)
    alone = gather(points, [0]).evaluate(parameters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("armillary.domains.transients.t2.likelihood._WASTE", 1.0)  # both in one chunk
        together = gather(points, [1, 0])
        assert len(list(together.chunks())) == 1
        padded = together.evaluate(parameters.expand(2, 2))
    for name in ("value", "gradient", "hessian"):
        torch.testing.assert_close(getattr(padded, name)[1:], getattr(alone, name), rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def make_points_once():
    """The factory again, for a property test may not use a fixture of each function."""

    def make(sizes, seed):
        rng, rows = np.random.default_rng(seed), sum(sizes)
        return Points(
            rng.uniform(0, 100, rows),
            rng.choice([4720.0, 6415.0], rows),
            rng.normal(0, 50, rows),
            rng.uniform(1, 5, rows),
            np.array(sizes, np.int64),
        )

    return make


def test_a_single_point_has_the_likelihood_of_one_normal_and_no_slope_along_time():
    points = Points(np.zeros(1), np.full(1, 5000.0), np.full(1, 3.0), np.full(1, 2.0), np.array([1]))
    found = gather(points, [0]).evaluate(torch.tensor([[np.log(5.0), 4.0]], dtype=torch.float64))
    assert found.value.item() == pytest.approx(0.5 * (9 / 9 + np.log(2 * np.pi * 9)), rel=1e-12)
    assert found.gradient[0, 1] == 0
    assert torch.isfinite(found.hessian).all()


def test_repeated_observations_are_allowed(make_points):
    one = make_points([20])
    twice = Points(
        *(np.tile(getattr(one, name), 2) for name in ("time", "wavelength", "flux", "flux_error")), np.array([40])
    )
    found = gather(twice, [0]).evaluate(torch.tensor([[9.0, 6.0]], dtype=torch.float64))
    assert all(torch.isfinite(part).all() for part in (found.value, found.gradient, found.hessian))


def test_working_in_small_chunks_gives_the_same_numbers(make_points, monkeypatch):
    padded = gather(make_points([20] * 9), list(range(9)))
    parameters = torch.tensor([[8.0, 6.0]], dtype=torch.float64).expand(9, 2)
    whole = padded.evaluate(parameters)
    monkeypatch.setattr("armillary.domains.transients.t2.likelihood._CHUNK", {"cpu": 2 * 20 * 20})
    assert len(list(padded.chunks())) == 5
    parts = padded.evaluate(parameters)
    torch.testing.assert_close(parts.value, whole.value, rtol=1e-12, atol=0)
    torch.testing.assert_close(parts.hessian, whole.hessian, rtol=1e-9, atol=1e-9)


def test_scratch_memory_full_of_nan_does_not_reach_the_result(make_points):
    padded = gather(make_points([12, 9]), [0, 1])
    parameters = torch.tensor([[8.0, 6.0], [8.0, 6.0]], dtype=torch.float64)
    first = padded.evaluate(parameters)
    for block in padded.workspace.blocks.values():
        block.fill_(torch.nan)
    again = padded.evaluate(parameters)
    assert torch.equal(first.value, again.value)
    assert torch.equal(first.hessian, again.hessian)
