"""Two-dimensional Gaussian process over time and wavelength, fitted to many light curves at once.

The kernel is k = A (1 + sqrt3 r) exp(-sqrt3 r), r^2 = dt^2/l^2 + dlambda^2/m^2, with zero mean and the squared flux
errors on the diagonal. Objects are sorted by size and worked on in padded chunks of nearly one size; dense Cholesky
factors in float64; Newton's method with the exact Hessian needs about three evaluations an object.

References:
    Boone 2019, "Avocado: Photometric Classification of Astronomical Transients with Gaussian Process Augmentation",
    section 3.2; Allam & McEwen 2021, arXiv 2105.06178, section 4.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from armillary.domains.transients.t2.likelihood import Padded, Workspace
from armillary.domains.transients.t2.newton import Minimum, minimise
from armillary.domains.transients.t2.points import Points, sorted_blocks
from armillary.domains.transients.t2.settings import GaussianProcessSettings

_DEFAULTS = GaussianProcessSettings()
_BLOCK = 2048  # objects searched for at once; enough to make the search's own cost small
_WARM_TOLERANCE = 0.5  # [nat]; the warm start only has to land in the valley
_SHORTENING = 2 * math.log(2)  # in log l^2; a warm start with less than half the starting length is not used
_FEWEST_TO_THIN = 20  # points, so that the warm start sees eight
_PEAK_ERROR = 0.01  # error floor as a fraction of the largest flux, in the starting amplitude


@dataclass(frozen=True)
class GPFit:
    """Maximum-likelihood parameters of n objects.

    amplitude: A [flux^2]. length_d: l [d]. converged: False where the starting values were kept.
    evaluations: of the likelihood over all points, with derivatives.
    """

    amplitude: Float64[np.ndarray, " n"]
    length_d: Float64[np.ndarray, " n"]
    converged: Bool[np.ndarray, " n"]
    evaluations: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.amplitude)


def starting_amplitude(points: Points) -> Float64[np.ndarray, " n"]:
    """(f/2)^2 [flux^2], f being the flux of highest signal-to-noise; errors have a floor of 1 % of the largest flux.

    An object without any flux starts from its smallest error instead.
    """
    sizes, starts = points.row_size, points.starts
    peak = np.maximum.reduceat(points.flux, starts)
    noise = np.hypot(points.flux_error, _PEAK_ERROR * np.repeat(peak, sizes))
    ratio = points.flux / noise
    best = np.flatnonzero(ratio == np.repeat(np.maximum.reduceat(ratio, starts), sizes))
    first = best[np.searchsorted(best, starts)]
    scale = np.maximum(np.abs(points.flux[first]), np.minimum.reduceat(points.flux_error, starts))
    return (0.5 * scale) ** 2


def fit(points: Points, settings: GaussianProcessSettings = _DEFAULTS, device: str = "cpu") -> GPFit:
    """Maximise the marginal likelihood of every object over (log A, log l^2).

    log A stays within `amplitude_range` of its start, l within 1 d and `longest`. Points may be in any order.
    Cost: about three Cholesky factors and inverses an object, O(p^3) each for p points.
    """
    ordered, workspace = points.sorted(), Workspace(torch.device(device))
    start = np.stack([np.log(starting_amplitude(points)), np.full(len(points), 2 * math.log(settings.start_length))], 1)
    found, converged = start.copy(), np.zeros(len(points), np.bool_)
    evaluations = np.zeros(len(points), np.int64)
    for members in sorted_blocks(points.row_size, _BLOCK):
        padded = Padded.gather(ordered, members, settings.wavelength_scale, workspace)
        begin = torch.from_numpy(start[members]).to(device)
        result = _fit_block(padded, begin, settings)
        found[members], converged[members] = result.parameters.cpu(), result.converged.cpu()
        evaluations[members] = result.evaluations.cpu()
    found = np.where(converged[:, None], found, start)
    return GPFit(np.exp(found[:, 0]), np.exp(0.5 * found[:, 1]), converged, evaluations)


def log_likelihood(
    points: Points, fitted: GPFit, settings: GaussianProcessSettings = _DEFAULTS, device: str = "cpu"
) -> Float64[np.ndarray, " n"]:
    """Log marginal likelihood [nat] of each object's flux at its fitted parameters."""
    workspace, values = Workspace(torch.device(device)), np.zeros(len(points))
    for members in sorted_blocks(points.row_size, _BLOCK):
        padded = Padded.gather(points, members, settings.wavelength_scale, workspace)
        values[members] = -padded.evaluate(_parameters(fitted, members, workspace.device)).value.cpu().numpy()
    return values


def predict(
    points: Points,
    fitted: GPFit,
    times: Float64[np.ndarray, "n t"],
    wavelengths: Float64[np.ndarray, " w"],
    settings: GaussianProcessSettings = _DEFAULTS,
    device: str = "cpu",
) -> tuple[Float32[np.ndarray, "n t w"], Float32[np.ndarray, "n t w"]]:
    """Mean and standard deviation of the noiseless flux, in the unit of the points.

    times [d] are each object's own, wavelengths [Angstrom] common. The standard deviation lies in (0, sqrt A].
    """
    workspace, shape = Workspace(torch.device(device)), (len(points), times.shape[1], len(wavelengths))
    mean, deviation = np.empty(shape, np.float32), np.empty(shape, np.float32)
    wave = torch.from_numpy(math.sqrt(3) / settings.wavelength_scale * wavelengths).to(device)
    for members in sorted_blocks(points.row_size, _BLOCK):
        padded = Padded.gather(points, members, settings.wavelength_scale, workspace)
        at = torch.from_numpy(math.sqrt(3) * times[members]).to(device)
        parameters = _parameters(fitted, members, workspace.device)
        for rows, part in padded.chunks(columns=shape[1] * shape[2]):
            centre, spread = _condition(part, parameters[rows], at[rows], wave)
            mean[members[rows]], deviation[members[rows]] = centre.cpu().numpy(), spread.cpu().numpy()
    return mean, deviation


def _parameters(fitted: GPFit, members: Int64[np.ndarray, " b"], device: torch.device) -> Tensor:
    """(log A, log l^2) of some objects."""
    pairs = np.stack([np.log(fitted.amplitude[members]), 2 * np.log(fitted.length_d[members])], 1)
    return torch.from_numpy(pairs).to(device)


def _fit_block(padded: Padded, start: Tensor, settings: GaussianProcessSettings) -> Minimum:
    reach = settings.amplitude_range
    lower = torch.stack([start[:, 0] - reach, torch.zeros_like(start[:, 1])], -1)
    upper = torch.stack([start[:, 0] + reach, torch.full_like(start[:, 1], 2 * math.log(settings.longest))], -1)
    begin = start.clone()
    many = torch.from_numpy(padded.sizes >= _FEWEST_TO_THIN).to(start.device)
    if settings.warm_start and many.any():
        thin = padded.take(many).thinned(thinning(padded.target.shape[1]))
        first = start[many]
        warm = minimise(thin, first, lower[many], upper[many], _WARM_TOLERANCE, settings.max_evaluations)
        # Few points of a faint object can look like white noise, a maximum of its own at a short length.
        safe = warm.converged & (warm.parameters[:, 1] > first[:, 1] - _SHORTENING)
        begin[many] = torch.where(safe[:, None], warm.parameters, first)
    return minimise(padded, begin, lower, upper, settings.tolerance, settings.max_evaluations)


def thinning(length: int) -> Int64[np.ndarray, " few"]:
    """About 38 % of the places below `length`, in steps of 2 and 3 that never fall into step with a cycle of bands.

    The places are floor(k (1 + golden ratio)), a Beatty sequence.
    """
    golden = (1 + math.sqrt(5)) / 2
    places = np.floor(np.arange(length) * (1 + golden)).astype(np.int64)
    return places[places < length]


def _condition(padded: Padded, parameters: Tensor, time: Tensor, wavelength: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (b, t, w); Rasmussen & Williams 2006, algorithm 2.1."""
    amplitude = torch.exp(parameters[:, 0])
    factor = padded.factorise(parameters)
    lag = ((padded.time[:, :, None] - time[:, None, :]) * torch.exp(-0.5 * parameters[:, 1, None, None])).square_()
    colour = (padded.wavelength[:, :, None] - wavelength).square_()
    distance = (lag[..., None] + colour[:, :, None, :]).sqrt_()
    decay = torch.mul(distance, -1 / math.log(2)).exp2_().mul_((padded.weight * amplitude[:, None])[:, :, None, None])
    cross = distance.add_(1).mul_(decay).flatten(2)
    white = torch.linalg.solve_triangular(factor, cross, upper=False)
    inner = torch.linalg.solve_triangular(factor, padded.target.unsqueeze(-1), upper=False)
    mean = (inner.mT @ white).view(len(cross), *lag.shape[2:], -1)
    # Rounding can take a few units in the last place more than there are.
    variance = (amplitude[:, None] - white.square_().sum(1)).maximum(1e-12 * amplitude[:, None])
    return mean, variance.sqrt_().view_as(mean)
