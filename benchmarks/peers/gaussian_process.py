"""Fit the same two-dimensional kernel with george or scikit-learn, one object after the other.

Runs in an environment of its own (numpy, scipy and george or scikit-learn); armillary is not imported.
Called as: python gaussian_process.py LIBRARY POINTS.npz RESULT.npz
"""

import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
from scipy.optimize import minimize

SCALE = 6000.0  # fixed length along wavelength [Angstrom]
LONGEST = 1000.0  # [d]
REACH = 10.0  # of log A around its start
START = 20.0  # [d]
TOLERANCE = 1e-6


def fit_george(place, flux, error, amplitude):
    """log A, log l^2, evaluations and a function that predicts, by george and L-BFGS-B with its gradients."""
    import george
    from george import kernels

    kernel = amplitude * kernels.Matern32Kernel([START**2, SCALE**2], ndim=2)
    kernel.freeze_parameter("k2:metric:log_M_1_1")
    process = george.GP(kernel)
    process.compute(place, error)

    def value(parameters):
        process.set_parameter_vector(parameters)
        return -process.log_likelihood(flux)

    def slope(parameters):
        process.set_parameter_vector(parameters)
        return -process.grad_log_likelihood(flux)

    start = process.get_parameter_vector()
    bounds = [(start[0] - REACH, start[0] + REACH), (0.0, 2 * np.log(LONGEST))]
    found = minimize(value, start, jac=slope, method="L-BFGS-B", bounds=bounds, tol=TOLERANCE)
    process.set_parameter_vector(found.x if found.success else start)
    log_amplitude, log_square = process.get_parameter_vector()
    # In two dimensions george keeps the amplitude divided by the number of dimensions.
    return log_amplitude + np.log(2), log_square, found.nfev, lambda at: process.predict(flux, at, return_var=True)


def fit_sklearn(place, flux, error, amplitude):
    """The same by scikit-learn; equal bounds hold the length along wavelength fixed."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    calls = []

    def optimise(objective, start, bounds):
        found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=TOLERANCE)
        calls.append(found.nfev)
        return found.x, found.fun

    warnings.simplefilter("ignore", ConvergenceWarning)  # the fixed length lies at its bounds, as it should
    reach = (amplitude * np.exp(-REACH), amplitude * np.exp(REACH))
    kernel = ConstantKernel(amplitude, reach) * Matern([START, SCALE], [(1.0, LONGEST), (SCALE, SCALE)], nu=1.5)
    process = GaussianProcessRegressor(kernel, alpha=error**2, optimizer=optimise).fit(place, flux)
    log_amplitude, log_length, _ = process.kernel_.theta
    return log_amplitude, 2 * log_length, calls[0], lambda at: process.predict(at, return_std=True)


def main(library, points, result):
    data = np.load(points)
    fit = {"george": fit_george, "scikit-learn": fit_sklearn}[library]
    ends = np.cumsum(data["row_size"])
    grids = [
        np.stack(np.meshgrid(times, data["wavelengths"], indexing="ij"), -1).reshape(-1, 2) for times in data["times"]
    ]
    rows, predictors = [], []
    place = np.stack([data["time"], data["wavelength"]], 1)
    slices = [slice(end - size, end) for end, size in zip(ends, data["row_size"], strict=True)]
    fit(place[slices[0]], data["flux"][slices[0]], data["flux_error"][slices[0]], data["amplitude"][0])  # imports
    began = time.process_time()
    for part, amplitude in zip(slices, data["amplitude"], strict=True):
        *row, predictor = fit(place[part], data["flux"][part], data["flux_error"][part], amplitude)
        rows.append(row)
        predictors.append(predictor)
    fitted = time.process_time()
    for predictor, grid in zip(predictors, grids, strict=True):
        predictor(grid)
    predicted = time.process_time()
    parameters = np.array(rows)
    np.savez(
        result,
        parameters=parameters[:, :2],
        evaluations=parameters[:, 2],
        fit_s=fitted - began,
        predict_s=predicted - fitted,
        version=version(library),
        scipy=version("scipy"),
        numpy=version("numpy"),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
