"""Fits against scipy's L-BFGS-B on the dense likelihood, and what the interpolation must satisfy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from armillary.domains.transients.t2.gaussian_process import (
    GPFit,
    fit,
    log_likelihood,
    predict,
    starting_amplitude,
    thinning,
)
from armillary.domains.transients.t2.likelihood import Padded, Workspace
from armillary.domains.transients.t2.points import Points, sorted_blocks
from armillary.domains.transients.t2.settings import GaussianProcessSettings

SCALE = 6000.0
WAVELENGTHS = np.array([4720.0, 6415.0, 7835.0, 9260.0])
COLUMNS = ("time", "wavelength", "flux", "flux_error")


def take(points: Points, order: list[int]) -> Points:
    rows = np.concatenate([np.arange(points.row_size[i]) + points.starts[i] for i in order])
    return Points(*(getattr(points, name)[rows] for name in COLUMNS), points.row_size[order])


def by_scipy(points: Points, index: int) -> float:
    """Smallest negative log-likelihood that L-BFGS-B finds from the sheet's start within the sheet's bounds."""
    padded = Padded.gather(points, np.array([index]), SCALE, Workspace(torch.device("cpu")))

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        found = padded.evaluate(torch.from_numpy(parameters[None]))
        return found.value.item(), found.gradient[0].numpy()

    start = np.array([np.log(starting_amplitude(points)[index]), 2 * np.log(20.0)])
    bounds = [(start[0] - 10, start[0] + 10), (0.0, 2 * np.log(1000.0))]
    return minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-6).fun


def test_the_optimum_is_that_of_l_bfgs_b(make_points):
    points = make_points([12, 30, 31, 45, 60, 61, 80, 20])
    fitted = fit(points)
    expected = np.array([by_scipy(points, i) for i in range(len(points))])
    assert fitted.converged.all()
    # L-BFGS-B stops at a relative change of 1e-6 of a value near 300; ours may be lower but not higher than that.
    assert (-log_likelihood(points, fitted) <= expected + 1e-3).all()
    np.testing.assert_allclose(-log_likelihood(points, fitted), expected, atol=2e-2)


def test_a_fit_takes_few_evaluations(make_points):
    assert fit(make_points([60] * 12)).evaluations.mean() < 5


def test_the_warm_start_leads_to_the_same_optimum(make_points):
    points = make_points([40, 55, 70, 35])
    cold = log_likelihood(points, fit(points, GaussianProcessSettings(warm_start=False)))
    np.testing.assert_allclose(log_likelihood(points, fit(points)), cold, atol=1e-3)


def test_the_warm_start_does_not_lead_faint_objects_astray(make_points):
    rng, bright = np.random.default_rng(5), make_points(rng_sizes(80))
    flux = bright.flux / 40 + bright.flux_error * rng.normal(size=len(bright.flux))
    faint = Points(bright.time, bright.wavelength, flux, bright.flux_error, bright.row_size)
    cold = log_likelihood(faint, fit(faint, GaussianProcessSettings(warm_start=False)))
    # One in a hundred may end in another maximum, either way; the mean must not suffer.
    gain = log_likelihood(faint, fit(faint)) - cold
    assert (gain > -1e-2).mean() >= 0.98
    assert gain.mean() > -1e-2


def rng_sizes(count: int) -> list[int]:
    return np.random.default_rng(9).integers(20, 70, count).tolist()


def test_thinning_meets_every_band_of_a_cycle_equally():
    for cycle in (2, 3, 4, 5, 6):
        counts = np.bincount(thinning(600) % cycle, minlength=cycle)
        assert counts.min() > 0.9 * counts.max()


def test_the_starting_amplitude_is_that_of_the_best_measured_point():
    # Ratios with the floor of 1 (1 % of 100): 100 / hypot(50, 1) and 30 / hypot(3, 1).
    points = Points(np.arange(2.0), np.full(2, 5000.0), np.array([100.0, 30.0]), np.array([50.0, 3.0]), np.array([2]))
    np.testing.assert_allclose(starting_amplitude(points), [15.0**2])


def test_points_need_no_order(make_points):
    points = make_points([20, 33])
    shuffled = np.random.default_rng(1).permutation(20).tolist() + list(range(20, 53))
    mixed = Points(*(getattr(points, name)[shuffled] for name in COLUMNS), points.row_size)
    np.testing.assert_array_equal(fit(mixed).length_d, fit(points).length_d)


def test_permuting_objects_permutes_their_fits_and_predictions(make_points):
    points, order = make_points([20, 33, 21, 50]), [2, 0, 3, 1]
    times = np.tile(np.linspace(0, 100, 7), (4, 1))
    there, here = fit(points), fit(take(points, order))
    # Another place in a batch may change the order of sums inside a matrix product, not more.
    np.testing.assert_allclose(here.amplitude, there.amplitude[order], rtol=1e-8)
    mean, deviation = predict(points, there, times, WAVELENGTHS)
    permuted, _ = predict(take(points, order), here, times, WAVELENGTHS)
    np.testing.assert_allclose(permuted, mean[order], rtol=1e-4, atol=1e-3)
    assert deviation.shape == (4, 7, 4)


def test_two_runs_agree_bit_for_bit(make_points):
    points, times = make_points([20, 33, 21]), np.tile(np.linspace(0, 100, 9), (3, 1))
    first, second = fit(points), fit(points)
    for name in ("amplitude", "length_d", "evaluations"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for one, other in zip(
        predict(points, first, times, WAVELENGTHS), predict(points, second, times, WAVELENGTHS), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_prediction_is_that_of_dense_formulas(make_points):
    points, times = make_points([25, 9]), np.tile(np.linspace(-5, 120, 6), (2, 1))
    fitted = GPFit(np.array([900.0, 50.0]), np.array([25.0, 8.0]), np.ones(2, bool), np.ones(2, np.int64))
    mean, deviation = predict(points, fitted, times, WAVELENGTHS)
    for i, (amplitude, length) in enumerate(zip(fitted.amplitude, fitted.length_d, strict=True)):
        rows = slice(int(points.starts[i]), int(points.starts[i] + points.row_size[i]))

        def kernel(a, b, amplitude=amplitude, length=length):
            r = np.sqrt(3 * (((a[0][:, None] - b[0]) / length) ** 2 + ((a[1][:, None] - b[1]) / SCALE) ** 2))
            return amplitude * (1 + r) * np.exp(-r)

        data = (points.time[rows], points.wavelength[rows])
        asked = tuple(grid.ravel() for grid in np.meshgrid(times[i], WAVELENGTHS, indexing="ij"))
        covariance = kernel(data, data) + np.diag(points.flux_error[rows] ** 2)
        weights = np.linalg.solve(covariance, kernel(data, asked)).T
        # Results are returned in single precision.
        np.testing.assert_allclose(mean[i].ravel(), weights @ points.flux[rows], rtol=1e-5, atol=1e-4)
        variance = amplitude - (weights * kernel(asked, data)).sum(1)
        np.testing.assert_allclose(deviation[i].ravel(), np.sqrt(variance), rtol=1e-5)


def test_the_deviation_is_positive_and_grows_away_from_the_data(make_points):
    points = make_points([40])
    fitted = fit(points)
    times = np.array([[50.0, 110.0, 130.0, 200.0, 1e5]])
    _, deviation = predict(points, fitted, times, WAVELENGTHS)
    assert (deviation > 0).all()
    assert (np.diff(deviation[0], axis=0) > 0).all()
    np.testing.assert_allclose(deviation[0, -1], np.sqrt(fitted.amplitude[0]), rtol=1e-5)


@pytest.mark.parametrize("level", [0.0, 50.0, -50.0])
def test_a_constant_flux_gives_a_finite_flat_prediction(level):
    time = np.linspace(0, 60, 24)
    points = Points(time, np.tile(WAVELENGTHS, 6), np.full(24, level), np.full(24, 5.0), np.array([24]))
    mean, deviation = predict(points, fit(points), np.linspace(0, 60, 10)[None], WAVELENGTHS)
    np.testing.assert_allclose(mean, level, atol=5.0)
    assert (np.isfinite(deviation) & (deviation > 0)).all()


def test_a_single_point_is_fitted_and_predicted():
    points = Points(np.zeros(1), np.full(1, 4720.0), np.full(1, 80.0), np.full(1, 2.0), np.array([1]))
    mean, deviation = predict(points, fit(points), np.zeros((1, 3)), WAVELENGTHS)
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()
    assert mean[0, 0, 0] == pytest.approx(80, abs=1)


def test_a_fit_that_fails_keeps_the_starting_values(make_points):
    points = make_points([30, 40])
    fitted = fit(points, GaussianProcessSettings(max_evaluations=1, warm_start=False))
    assert not fitted.converged.any()
    np.testing.assert_allclose(fitted.amplitude, starting_amplitude(points))
    np.testing.assert_allclose(fitted.length_d, 20.0)


def test_parameters_stay_within_their_bounds():
    rng = np.random.default_rng(3)
    noise = Points(
        np.sort(rng.uniform(0, 100, 60)),
        rng.choice(WAVELENGTHS, 60),
        rng.normal(0, 5, 60),
        np.full(60, 5.0),
        np.array([60]),
    )
    slow = Points(noise.time, noise.wavelength, 100 + 0.01 * noise.time, np.full(60, 1.0), np.array([60]))
    for points in (noise, slow):
        fitted = fit(points)
        assert 1 <= fitted.length_d[0] <= 1000 * (1 + 1e-12)
        assert abs(np.log(fitted.amplitude / starting_amplitude(points)))[0] <= 10 + 1e-9


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 20))
def test_blocks_hold_every_object_once_from_long_to_short(sizes, largest):
    sizes = np.array(sizes, np.int64)
    blocks = sorted_blocks(sizes, largest)
    order = np.concatenate(blocks)
    assert sorted(order.tolist()) == list(range(len(sizes)))
    assert all(len(block) <= largest for block in blocks)
    assert (np.diff(sizes[order]) <= 0).all()


def test_objects_of_many_sizes_are_each_fitted_as_if_alone(make_points):
    points = make_points([3, 90, 1, 20, 19, 60, 61, 7])
    together = fit(points)
    for i in range(len(points)):
        alone = fit(take(points, [i]))
        np.testing.assert_allclose(together.amplitude[i], alone.amplitude[0], rtol=1e-6)
        np.testing.assert_allclose(together.length_d[i], alone.length_d[0], rtol=1e-6)


def test_bad_points_are_named():
    good = np.ones(3)
    with pytest.raises(ValueError, match=r"observation 1 has .* flux_error -9\.0; expected .* positive"):
        Points(good, good, good, np.array([1.0, -9.0, 1.0]), np.array([3]))
    with pytest.raises(ValueError, match="object 1 has no observation"):
        Points(good, good, good, good, np.array([3, 0]))
    with pytest.raises(ValueError, match="adds up to 4, but there are 3"):
        Points(good, good, good, good, np.array([4]))
