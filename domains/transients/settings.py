"""Settings of the transients domain that every system shares. Free of torch."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from armillary.core.config import RunConfig, Settings
from armillary.domains.transients.raw.settings import RawSettings
from armillary.domains.transients.t2.settings import T2Settings


class AugmentSettings(Settings):
    """Changes of a training light curve, drawn from (seed, epoch, index); see augment.py for the formulas."""

    truncate: float = Field(default=0.0, ge=0, le=1, description="chance to cut the light curve after a random time")
    drop: float = Field(default=0.0, ge=0, lt=1, description="largest chance of an observation to be dropped")
    noise: NonNegativeFloat = Field(
        default=0.0, description="largest extra noise in units of each observation's own error"
    )
    redshift: float = Field(default=0.0, ge=0, le=1, description="chance to move the object to another redshift")
    redshift_scatter: NonNegativeFloat = Field(default=0.5, description="standard deviation of ln(z_new / z)")
    redshift_range: tuple[float, float] = Field(default=(0.75, 1.5), description="allowed range of (1+z_new)/(1+z)")
    shift_bands: bool = Field(
        default=True, description="at another redshift, interpolate fluxes to the shifted wavelengths"
    )
    depth: float = Field(default=0.0, ge=0, le=1, description="chance to dim the object towards the survey's depth")
    detections_only: bool = Field(
        default=False, description="the survey lists detections only: drop what a move leaves below 5 sigma"
    )
    photo_z: NonNegativeFloat = Field(
        default=0.0, description="redraw the photometric redshift, in units of its own error"
    )


class TransientsData(Settings):
    """Which objects, which split, which inputs.

    `classes` groups the survey's own labels: class name -> labels. Objects with other labels are left out of
    training and evaluation. `protocol`: 'representative' stratifies one sample by class into `fractions`;
    'official' trains on the survey's spectroscopic sample; 'folds' rotates `folds` stratified parts.
    """

    card: str
    protocol: Literal["representative", "official", "folds"] = "representative"
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    fold: NonNegativeInt = 0
    folds: PositiveInt = 5
    split_seed: NonNegativeInt = 42
    classes: Mapping[str, tuple[str, ...]]
    bands: tuple[str, ...]
    prior: Literal["balanced", "natural"] = Field(
        default="balanced", description="class frequencies that probabilities assume: all alike, or as in training"
    )
    redshift: Literal["none", "photometric", "spectroscopic"] = "none"
    other_bands: Literal["error", "drop"] = Field(
        default="error", description="observations in bands that are not in `bands`: refuse the file, or leave them out"
    )
    deredden: bool = Field(default=False, description="correct for Galactic extinction once, at reading")
    days_before: NonNegativeFloat = Field(default=50.0, description="kept before the first detection [d]")
    days_after: NonNegativeFloat = Field(default=50.0, description="kept after the last detection [d]")
    open_set: bool = Field(
        default=False, description="the test split also holds labelled objects of no class, to be told apart"
    )
    limit: PositiveInt | None = Field(default=None, description="use only so many objects (a quick look)")
    augment: AugmentSettings = AugmentSettings()


class TransientsPredict(Settings):
    """Options of prediction. Read by the model and by the figures."""

    days: tuple[float, ...] = Field(
        default=(0.0, 5.0, 10.0, 20.0, 50.0, 100.0),
        description="days since the first detection at which raw systems report",
    )
    track: bool = Field(
        default=False, description="also how the answer grew: after every observation (raw), on each of `days` (t2)"
    )
    maps: bool = Field(default=False, description="also the class activation maps (t2)")
    examples: NonNegativeInt = Field(default=6, description="objects drawn in the report")


class TransientsRun(RunConfig):
    """A complete run: data, one of the systems, options of prediction."""

    # Pyright cannot know that settings are frozen, so that a field may be narrowed.
    data: TransientsData  # pyright: ignore[reportIncompatibleVariableOverride]
    model: Annotated[T2Settings | RawSettings, Field(discriminator="kind")]  # pyright: ignore[reportIncompatibleVariableOverride]
    predict: TransientsPredict = TransientsPredict()  # pyright: ignore[reportIncompatibleVariableOverride]
