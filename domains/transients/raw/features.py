"""What is known at each observation from it and the ones before: nothing here looks ahead.

Fluxes are in FLUXCAL. With a redshift they are scaled to a common distance and times to the rest frame, so that
the same supernova looks alike near and far.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

_SOFT_FLUX = 2.0  # flux [FLUXCAL] where asinh turns from linear to logarithmic
_BRIGHT_FLUX = 20.0
_FAINTEST_PEAK = 0.5  # floor of a running peak [FLUXCAL], so that its logarithm exists before a detection
_NEVER_ERROR = 1e3  # stands for "not observed yet" in a band: no flux, a huge error, long ago
_NEVER_DAYS = 200.0
_FIRST_IN_BAND_DAYS = 60.0


@dataclass(frozen=True)
class Observations:
    """A padded batch, times in days since the trigger, already in the frame and at the distance that features use."""

    time: Float[Tensor, "b l"]
    flux: Float[Tensor, "b l"]
    error: Float[Tensor, "b l"]
    band: Int[Tensor, "b l"]
    mask: Bool[Tensor, "b l"]


@dataclass(frozen=True)
class BandHistory:
    """For each observation and band: the latest flux, its error and age [d], the running peak and its age [d].

    place: number of the latest observation in the band, -1 before the first.
    """

    place: Int[Tensor, "b l k"]
    flux: Float[Tensor, "b l k"]
    error: Float[Tensor, "b l k"]
    age: Float[Tensor, "b l k"]
    peak: Float[Tensor, "b l k"]
    peak_age: Float[Tensor, "b l k"]


def band_history(seen: Observations, num_bands: int) -> BandHistory:
    """What each band has shown up to and including each observation.

    The peak is the largest flux less its error, so that one noisy point does not set it.
    """
    inside = F.one_hot(seen.band, num_bands).bool() & seen.mask.unsqueeze(-1)
    place = torch.arange(seen.time.shape[1], device=seen.time.device).reshape(1, -1, 1)
    latest = torch.where(inside, place, -1).cummax(1).values
    observed = latest >= 0
    sure = (seen.flux - seen.error).unsqueeze(-1)
    peak, peak_place = torch.where(inside, sure, float("-inf")).cummax(1)
    now = seen.time.unsqueeze(-1)
    return BandHistory(
        place=latest,
        flux=torch.where(observed, _at(seen.flux, latest), 0.0),
        error=torch.where(observed, _at(seen.error, latest), _NEVER_ERROR),
        age=torch.where(observed, now - _at(seen.time, latest), _NEVER_DAYS),
        peak=peak.clamp(min=_FAINTEST_PEAK),
        peak_age=torch.where(observed, now - _at(seen.time, peak_place), _NEVER_DAYS),
    )


def observation_features(seen: Observations, num_bands: int) -> Float[Tensor, "b l f"]:
    """Features of each observation, from it and those before it; padding gives finite values."""
    history = band_history(seen, num_bands)
    columns = [*_own(seen), *_change(seen, history), *_position(seen)]
    per_band = [
        (history.flux / _SOFT_FLUX).asinh(),
        (history.flux / history.error).asinh(),
        (history.age / 3).asinh(),
        history.peak.log(),
        (history.peak_age / 5).asinh(),
        (history.flux / history.peak).clamp(-2, 2),
    ]
    return torch.cat([torch.stack(columns, -1), *per_band], -1)


def num_features(num_bands: int) -> int:
    """Width of `observation_features`."""
    return _NUM_SCALARS + 6 * num_bands


def _own(seen: Observations) -> list[Tensor]:
    """The observation by itself."""
    return [
        (seen.flux / _SOFT_FLUX).asinh(),
        (seen.flux / _BRIGHT_FLUX).asinh(),
        seen.error.log(),
        (seen.flux / seen.error).asinh(),
    ]


def _change(seen: Observations, history: BandHistory) -> list[Tensor]:
    """The observation against the peaks so far and against the one before in its band."""
    own_peak = history.peak.gather(2, seen.band.unsqueeze(-1)).squeeze(-1)
    any_peak = history.peak.amax(-1)
    # One step back, the latest observation in the own band is the one before.
    before = F.pad(history.place[:, :-1], (0, 0, 1, 0), value=-1).gather(2, seen.band.unsqueeze(-1)).squeeze(-1)
    known = before >= 0
    flux = torch.where(known, _take(seen.flux, before), 0.0)
    error = torch.where(known, _take(seen.error, before), 3 * seen.error)
    wait = torch.where(known, seen.time - _take(seen.time, before), _FIRST_IN_BAND_DAYS)
    step = seen.flux - flux
    return [
        (seen.flux / own_peak).clamp(-2, 3),
        (seen.flux / any_peak).clamp(-2, 3),
        own_peak.log(),
        any_peak.log(),
        (step / (seen.error.square() + error.square()).sqrt()).asinh(),
        (seen.flux / _SOFT_FLUX).asinh() - (flux / _SOFT_FLUX).asinh(),
        3 * (step / own_peak / (wait + 1)).clamp(-1, 1),
        (wait / 2).asinh(),
    ]


def _position(seen: Observations) -> list[Tensor]:
    """When, and after how many observations."""
    gap = F.pad(seen.time[:, 1:] - seen.time[:, :-1], (1, 0))
    number = torch.arange(seen.time.shape[1], device=seen.time.device, dtype=seen.time.dtype).expand_as(seen.time)
    return [(seen.time / 5).asinh(), seen.time / 50, gap.asinh(), number.log1p() / 2]


_NUM_SCALARS = 16


def _at(values: Float[Tensor, "b l"], place: Int[Tensor, "b l k"]) -> Float[Tensor, "b l k"]:
    return values.unsqueeze(-1).expand(place.shape).gather(1, place.clamp(min=0))


def _take(values: Float[Tensor, "b l"], place: Int[Tensor, "b l"]) -> Float[Tensor, "b l"]:
    return values.gather(1, place.clamp(min=0))


class Standardise(nn.Module):
    """(x - mean) / deviation with both from training data, clipped."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, clip: float) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def fit(self, rows: Float[Tensor, "n f"]) -> None:
        """Takes mean and deviation from rows of training data; nearly constant features keep a floor."""
        self.mean.copy_(rows.mean(0))
        self.deviation.copy_(rows.std(0).clamp(min=0.05))

    def forward(self, values: Float[Tensor, "b l f"]) -> Float[Tensor, "b l f"]:
        return ((values - self.mean) / self.deviation).clamp(-self.clip, self.clip)
