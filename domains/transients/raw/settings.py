"""Settings of the raw systems. Free of torch."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from armillary.core.config import Settings
from armillary.core.config.embeddings import ContinuousTimeSettings
from armillary.core.config.trunk import TrunkSettings


class RawSettings(Settings):
    """Causal features of each observation, an embedding, a causal trunk, a classifier at every token.

    The loss is a share `every_weight` of the log loss after every observation since the trigger, weighted by
    (number of the observation / number of all)^every_power, and the rest after the last one.
    Classes count as `data.prior` says.
    """

    kind: Literal["raw"] = "raw"
    trunk: TrunkSettings
    hidden: PositiveInt = Field(default=128, description="hidden width of the map of the features")
    time: ContinuousTimeSettings = ContinuousTimeSettings(frequencies=7, shortest=6.0, longest=400.0)
    clip: PositiveFloat = Field(default=6.0, description="largest standardised feature")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="before the classifier")
    flux_unit: PositiveFloat = Field(
        default=1.0, description="typical noise of the survey [FLUXCAL]; fluxes are counted in it"
    )
    every_weight: float = Field(default=0.3, ge=0, le=1)
    every_power: NonNegativeFloat = 1.0
    reference_redshift: NonNegativeFloat = Field(default=0.5, description="redshift assumed where none is given")
    calibrate: bool = Field(default=True, description="temperature and class shifts, fitted on the validation split")
