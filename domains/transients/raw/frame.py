"""Brings observations to the rest frame and to a common distance, as far as a redshift is known."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.domains.transients.cosmology import log_luminosity_distance
from armillary.domains.transients.raw.features import Observations

_SMALLEST, _LARGEST = 0.005, 4.0
_GRID = 1024


class RestFrame(nn.Module):
    """t / (1+z), f D_L(z)^2 / D_L(z_ref)^2, lambda / (1+z); without redshifts everything counts as at z_ref.

    The distance is applied to the photometric redshift as it is given; its error is a feature of its own.
    """

    wavelength: Tensor
    log_distance: Tensor

    def __init__(self, wavelengths: Float[np.ndarray, " k"], uses_redshift: bool, reference: float) -> None:
        super().__init__()
        self.uses_redshift = uses_redshift
        self.reference = reference
        grid = np.exp(np.linspace(math.log(_SMALLEST), math.log(_LARGEST), _GRID))
        distance = log_luminosity_distance(grid) - log_luminosity_distance(np.array([reference]))
        self.register_buffer("log_distance", torch.from_numpy(distance).float(), persistent=False)
        self.register_buffer("wavelength", torch.from_numpy(wavelengths).float(), persistent=False)

    @property
    def num_features(self) -> int:
        """Width of `features`."""
        return 6 if self.uses_redshift else 1

    def forward(self, seen: Observations, redshift: Float[Tensor, " b"]) -> Observations:
        """The observations at the reference distance and in the rest frame."""
        z = self.known(redshift)
        scale = (2 * self.relative_distance(z)).exp().unsqueeze(-1) if self.uses_redshift else 1.0
        stretch = 1 / (1 + z).unsqueeze(-1)
        return Observations(seen.time * stretch, seen.flux * scale, seen.error * scale, seen.band, seen.mask)

    def features(
        self, seen: Observations, redshift: Float[Tensor, " b"], error: Float[Tensor, " b"]
    ) -> Float[Tensor, "b l f"]:
        """Rest-frame wavelength of each observation, and what the redshift says."""
        z = self.known(redshift)
        wave = self.wavelength[seen.band] / (1 + z).unsqueeze(-1) / 3000 - 1.5
        if not self.uses_redshift:
            return wave.unsqueeze(-1)
        told = torch.isfinite(redshift)
        spread = torch.where(torch.isfinite(error) & told, error, 1.0).clamp(1e-4, 3.0)
        row = torch.stack(
            [z, z.clamp(min=_SMALLEST).log(), spread.log(), 2 * self.relative_distance(z), told.to(z.dtype)], -1
        )
        return torch.cat([wave.unsqueeze(-1), row.unsqueeze(1).expand(-1, seen.time.shape[1], -1)], -1)

    def known(self, redshift: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The redshift where it is used and given, else the reference."""
        if not self.uses_redshift:
            return torch.full_like(redshift, self.reference)
        return torch.where(torch.isfinite(redshift), redshift, self.reference).clamp(0.0, _LARGEST)

    def relative_distance(self, z: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """ln(D_L(z) / D_L(z_ref)), linear between points of a logarithmic grid."""
        step = (math.log(_LARGEST) - math.log(_SMALLEST)) / (_GRID - 1)
        place = ((z.clamp(_SMALLEST, _LARGEST).log() - math.log(_SMALLEST)) / step).clamp(0.0, _GRID - 1.001)
        low = place.long()
        part = place - low
        return self.log_distance[low] * (1 - part) + self.log_distance[low + 1] * part
