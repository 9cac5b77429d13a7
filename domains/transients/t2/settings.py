"""Settings of t2 and of the Gaussian process before it. Free of torch."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from armillary.core.config import Settings
from armillary.core.config.channels import ChannelSettings
from armillary.core.config.mixers import MixerSettings


class GaussianProcessSettings(Settings):
    """The kernel A (1 + sqrt3 r) exp(-sqrt3 r), r^2 = dt^2/l^2 + dlambda^2/m^2, and how (log A, log l^2) are found."""

    wavelength_scale: PositiveFloat = Field(default=6000.0, description="m, fixed [Angstrom]")
    start_length: PositiveFloat = Field(default=20.0, description="l at the start [d]")
    longest: PositiveFloat = Field(default=1000.0, description="largest l [d]; the smallest is 1 d")
    amplitude_range: PositiveFloat = Field(default=10.0, description="log A stays this near to its start")
    tolerance: PositiveFloat = Field(
        default=1e-2, description="done when the last step was to gain less [nat]; see newton.py"
    )
    max_evaluations: PositiveInt = 60
    warm_start: bool = Field(default=True, description="begin at the optimum of a third of the points")

    @model_validator(mode="after")
    def _start_is_within_bounds(self) -> "GaussianProcessSettings":
        if not 1 <= self.start_length <= self.longest:
            raise ValueError(f"start_length {self.start_length} d lies outside [1, {self.longest}] d")
        return self


class T2Settings(Settings):
    """The t2 network; the defaults are those of its best published run.

    `redshift_mode` says where the redshift features go when the data have them: 'M' tiles them over time as more
    channels, 'L' appends one constant step for each.
    """

    kind: Literal["t2"] = "t2"
    width: PositiveInt = 32
    heads: PositiveInt = 16
    feedforward: PositiveInt = 128
    blocks: PositiveInt = 1
    dropout: float = Field(default=0.1, ge=0, lt=1)
    steps: PositiveInt = Field(default=100, description="evenly spaced times of the Gaussian process")
    redshift_mode: Literal["M", "L"] = "M"
    pattern: tuple[MixerSettings, ...] = Field(
        default=(), description="mixers of the blocks; none: the paper's attention"
    )
    channel: ChannelSettings | None = Field(default=None, description="None: the paper's ReLU network")
    process: GaussianProcessSettings = GaussianProcessSettings()

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "T2Settings":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self
