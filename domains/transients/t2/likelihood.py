"""Marginal likelihood of the two-dimensional Gaussian process with its exact gradient and Hessian, batched.

Everything is whitened by the flux errors: with S = diag(1/sigma), the matrix is I + S R S where R is the kernel, so
its smallest eigenvalue is 1 whatever the units. Padding has S = 0: its rows are those of the unit matrix and change
no value and no derivative.

Notation: q = 3 dt^2 / l^2, s^2 = q + 3 dlambda^2 / m^2, E = A exp(-s). Then R = (1 + s) E, dR/dlog l^2 = q E / 2 and
d^2R/d(log l^2)^2 = q E (q / (2 s) - 1) / 2, so one exponential serves all.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from torch.linalg import vecdot

from armillary.domains.transients.t2.newton import Evaluation
from armillary.domains.transients.t2.points import Points

_SMALLEST = 1e-30  # keeps q / s finite where both are 0
_LOG2_E = 1 / math.log(2)
_WASTE = 0.08  # part of a row that may be padding
# Elements of the matrices worked on at once: on a CPU about ten such blocks stay in its cache.
_CHUNK = {"cpu": 2**16, "cuda": 2**26}


@dataclass
class Workspace:
    """Scratch matrices that are used again and again: fresh ones of this size would cost more than the arithmetic."""

    device: torch.device
    blocks: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def elements(self) -> int:
        """Matrix elements that are best worked on at once."""
        return _CHUNK[self.device.type]

    def matrix(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """An uninitialised float64 tensor of `shape`; it is valid until the same name is asked for again."""
        size = math.prod(shape)
        if name not in self.blocks or self.blocks[name].numel() < size:
            self.blocks[name] = torch.empty(size, dtype=torch.float64, device=self.device)
        return self.blocks[name][:size].view(shape)


@dataclass(frozen=True)
class Padded:
    """Points of b objects in rows of p, in order of time; from `sizes` on a row is padding of weight and target 0.

    time: sqrt3 t [d]. wavelength: sqrt3 lambda / m. weight: 1 / sigma. target: flux / sigma.
    constant: the part of the negative log-likelihood [nat] that the parameters cannot change.
    Matrices are made for a few objects of similar size at a time, so little of them is padding when rows are sorted
    by size.
    """

    sizes: Int64[np.ndarray, " b"]
    time: Float64[Tensor, "b p"]
    wavelength: Float64[Tensor, "b p"]
    weight: Float64[Tensor, "b p"]
    target: Float64[Tensor, "b p"]
    constant: Float64[Tensor, " b"]
    workspace: Workspace

    @classmethod
    def gather(
        cls, points: Points, members: Int64[np.ndarray, " b"], wavelength_scale: float, workspace: Workspace
    ) -> "Padded":
        """The members' points; wavelength_scale is m, the fixed length along wavelength [Angstrom]."""
        sizes = points.row_size[members]
        place = np.arange(int(sizes.max()))
        real = place < sizes[:, None]
        rows = points.starts[members][:, None] + np.minimum(place, sizes[:, None] - 1)
        error = points.flux_error[rows]
        weight = np.where(real, 1 / error, 0.0)
        log_errors = np.log(error, where=real, out=np.zeros_like(error)).sum(1)

        def move(column: Float64[np.ndarray, "..."]) -> Tensor:
            return torch.from_numpy(column).to(workspace.device)

        return cls(
            sizes=sizes,
            time=move(math.sqrt(3) * points.time[rows]),
            wavelength=move(math.sqrt(3) / wavelength_scale * points.wavelength[rows]),
            weight=move(weight),
            target=move(points.flux[rows] * weight),
            constant=move(log_errors + 0.5 * math.log(2 * math.pi) * sizes),
            workspace=workspace,
        )

    def take(self, keep: Bool[Tensor, " b"]) -> "Padded":
        """The objects where `keep` is True."""
        rows = {name: getattr(self, name)[keep] for name in (*_COLUMNS, "constant")}
        return replace(self, sizes=self.sizes[keep.cpu().numpy()], **rows)

    def thinned(self, places: Int64[np.ndarray, " few"]) -> "Padded":
        """The points at some places of each row; the constant remains, for no minimum minds it."""
        sizes = np.searchsorted(places, self.sizes)
        return replace(self, sizes=sizes, **{name: getattr(self, name)[:, places] for name in _COLUMNS})

    def chunks(self, columns: int = 0) -> Iterator[tuple[slice, "Padded"]]:
        """Slices of objects whose matrices, p times the larger of p and `columns`, are best worked on at once."""
        first = 0
        while first < len(self.sizes):
            length = int(self.sizes[first:].max())
            room = max(1, self.workspace.elements // (length * max(length, columns)))
            near = self.sizes[first : first + room] >= (1 - _WASTE) * length
            last = first + max(1, int(np.argmin(np.append(near, False))))
            length = int(self.sizes[first:last].max())
            rows = slice(first, last)
            part = {name: getattr(self, name)[rows, :length] for name in _COLUMNS}
            yield rows, replace(self, sizes=self.sizes[rows], constant=self.constant[rows], **part)
            first = last

    def evaluate(self, parameters: Float64[Tensor, "b 2"]) -> Evaluation:
        """Negative log marginal likelihood [nat] at (log A, log l^2) with its gradient and Hessian.

        References:
            Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", eqs. 2.30 and 5.9.
        """
        parts = [part._evaluate(parameters[rows]) for rows, part in self.chunks()]
        return Evaluation(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _evaluate(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        lag, distance, decay, matrix = self._kernel(parameters)
        factor, failed = torch.linalg.cholesky_ex(matrix, out=self._factor_buffers())
        inverse = torch.cholesky_inverse(factor, out=self._matrix("inverse"))
        alpha = _apply(inverse, self.target)
        half_determinant = factor.diagonal(dim1=1, dim2=2).log().sum(-1)
        value = 0.5 * vecdot(self.target, alpha) + half_determinant + self.constant
        value = torch.where(failed > 0, torch.inf, value)
        slope = decay.mul_(lag)  # twice the derivative to log l^2
        bend = lag.div_(distance.clamp_(min=_SMALLEST)).mul_(slope)  # 4 d^2R/d(log l^2)^2 = bend - 2 slope
        return value, *self._derivatives(inverse, alpha, slope, bend)

    def factorise(self, parameters: Float64[Tensor, "b 2"]) -> Float64[Tensor, "b p p"]:
        """Lower Cholesky factor of I + S R S, valid until the workspace is used again."""
        return torch.linalg.cholesky_ex(self._kernel(parameters)[3], out=self._factor_buffers())[0]

    def _kernel(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, s, S E S and I + S R S."""
        time = self.time * torch.exp(-0.5 * parameters[:, 1:])
        scaled = self.weight * torch.exp(parameters[:, :1])
        wave = self.wavelength
        lag = torch.sub(time[:, :, None], time[:, None, :], out=self._matrix("lag")).square_()
        distance = torch.sub(wave[:, :, None], wave[:, None, :], out=self._matrix("distance"))
        torch.addcmul(lag, distance, distance, out=distance).sqrt_()
        # exp2 is several times faster than exp in float64 on a CPU.
        decay = torch.mul(distance, -_LOG2_E, out=self._matrix("decay")).exp2_()
        decay.mul_(self.weight[:, None, :]).mul_(scaled[:, :, None])
        matrix = torch.addcmul(decay, distance, decay, out=self._matrix("matrix"))
        matrix.diagonal(dim1=1, dim2=2).add_(1)
        return lag, distance, decay, matrix

    def _derivatives(self, inverse: Tensor, alpha: Tensor, slope: Tensor, bend: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and Hessian; the derivative to log A is the matrix less 1, so its products need no matrix.

        Overwrites the blocks "matrix", "distance" and "factor", which are no longer needed.
        """
        size = self.target.shape[1]
        trace = inverse.diagonal(dim1=1, dim2=2).sum(-1)
        trace_length = 0.5 * _dot(inverse, slope)
        product = torch.bmm(inverse, slope, out=self._matrix("matrix"))
        twice = 0.25 * torch.mul(product, product.mT, out=self._matrix("distance")).sum((1, 2))
        by_amplitude, by_length = self.target - alpha, 0.5 * _apply(slope, alpha)
        whitened_length = _apply(inverse, by_length)
        gradient_a = 0.5 * (size - trace - vecdot(alpha, by_amplitude))
        gradient_l = 0.5 * (trace_length - vecdot(alpha, by_length))
        quadratic_a = vecdot(by_amplitude, _apply(inverse, by_amplitude))
        hessian_aa = quadratic_a - 0.5 * (size - 2 * trace + _dot(inverse, inverse)) + gradient_a
        hessian_al = vecdot(by_amplitude, whitened_length) - 0.5 * (trace_length - 0.5 * _dot(product, inverse))
        hessian_al = hessian_al + gradient_l
        surplus = torch.addcmul(inverse, alpha[:, :, None], alpha[:, None, :], value=-1, out=self._matrix("factor"))
        quadratic_l = vecdot(by_length, whitened_length)
        hessian_ll = quadratic_l - 0.5 * twice + 0.125 * _dot(surplus, bend) - gradient_l
        hessian = torch.stack([hessian_aa, hessian_al, hessian_al, hessian_ll], -1).view(-1, 2, 2)
        return torch.stack([gradient_a, gradient_l], -1), hessian

    def _matrix(self, name: str) -> Tensor:
        size, length = self.target.shape
        return self.workspace.matrix(name, (size, length, length))

    def _factor_buffers(self) -> tuple[Tensor, Tensor]:
        info = torch.empty(len(self.target), dtype=torch.int32, device=self.workspace.device)
        # LAPACK fills columns; handing it a transposed block saves a copy.
        return self._matrix("factor").mT, info


_COLUMNS = ("time", "wavelength", "weight", "target")


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the products of all elements, for each matrix (b, p, p)."""
    return vecdot(a.flatten(1), b.flatten(1))


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix (b, p, p) times vector (b, p); twice as fast on a CPU as the batched product with a single column."""
    return vecdot(matrix, vector[:, None, :])
