"""Settings of the modulation domain: data, options of prediction, and the complete run. Free of torch."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from armillary.core.config import RunConfig, Settings
from armillary.domains.modulation.systems.settings import SystemSettings


class AugmentSettings(Settings):
    """Changes of a training frame that keep its label, drawn from (seed, epoch, index); see augment.py."""

    rotate: bool = Field(default=False, description="turn the carrier by a random phase")
    shift: bool = Field(default=False, description="shift the samples cyclically by a random number")
    conjugate: bool = Field(
        default=False, description="mirror the spectrum of every second frame, where the class allows it"
    )
    reverse: bool = Field(default=False, description="run time backwards in every second frame")
    noise: float = Field(default=0.0, ge=0, le=1, description="chance of more white noise on a frame")
    noise_db: tuple[float, float] = Field(
        default=(-5.0, 20.0), description="frame power over added noise power, drawn evenly between the two [dB]"
    )


class GeneratorSettings(Settings):
    """Frames of our own generator in place of the card's for training and validation; see simulation/."""

    train_per_key: PositiveInt = Field(default=1000, description="training frames of a class and SNR in an epoch")
    validation_per_key: PositiveInt = 50
    noise: Literal["historical", "calibrated"] = Field(
        default="historical", description="the published noise rule, or noise at the SNR that the label says"
    )
    fresh: bool = Field(default=True, description="new frames in every epoch, instead of the same ones")


class ModulationData(Settings):
    """Which frames, which split, which classes.

    Frames of labels outside `classes` are left out. Splits are made inside each (class, SNR) key by `fractions`, by
    group (burst, recording) where a group holds several frames.
    """

    card: str
    classes: tuple[str, ...] = Field(min_length=2)
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    split_seed: NonNegativeInt = 2016
    snr_db: tuple[float, float] | None = Field(
        default=None, description="lowest and highest SNR label used [dB]; None: every one"
    )
    snr_labels: tuple[float, ...] = Field(
        default=tuple(float(snr) for snr in range(-20, 20, 2)), description="SNR labels that accuracy is told at [dB]"
    )
    length: PositiveInt = Field(default=128, description="samples in a frame")
    sample_rate_hz: PositiveFloat = Field(default=200e3, description="rate that files must have [Hz]")
    open_set: tuple[str, ...] = Field(
        default=(), description="labels that no one trains on; their frames join the test split, to be told apart"
    )
    per_key: PositiveInt | None = Field(
        default=None, description="use only so many training frames of each class and SNR (few-shot)"
    )
    generator: GeneratorSettings | None = Field(
        default=None, description="train and validate on generated frames, test on the card's"
    )
    augment: AugmentSettings = AugmentSettings()


class ModulationPredict(Settings):
    """Options of prediction and of reading captures."""

    window: PositiveInt = Field(default=128, description="samples in a window of a capture; the run's data.length")
    hop: PositiveInt | None = Field(default=None, description="samples between windows; None: windows side by side")
    smooth: PositiveInt = Field(default=1, description="windows whose log probabilities are averaged, ending with each")
    sample_rate_hz: PositiveFloat | None = Field(
        default=None, description="rate of files that cannot tell it [Hz]; one that differs from a file's is an error"
    )
    centre_hz: float | None = Field(default=None, description="centre frequency of files that cannot tell it [Hz]")
    dtype: Literal["auto", "complex64", "int16", "uint8"] = Field(
        default="auto", description="samples of raw files; auto: by the suffix (.cf32, .cs16, .cu8, ...)"
    )
    detect: Literal["none", "energy", "cyclic", "both"] = Field(
        default="none",
        description="windows of a recording without a burst, over white noise, are reported as no signal; not for "
        "receiver audio: energy picks the noise of an FM discriminator, and its filtered noise has structure",
    )
    false_alarm: float = Field(default=1e-3, gt=0, lt=1, description="chance that noise alone counts as a burst")
    noise_power: PositiveFloat | None = Field(
        default=None, description="mean |z|^2 of the noise; None: estimated from the quietest windows of each chunk"
    )
    reject: float | None = Field(
        default=None, gt=0, lt=1, description="share of known frames that may be rejected as unknown; None: reject none"
    )
    examples: NonNegativeInt = Field(default=6, description="frames drawn in the report")


class ModulationRun(RunConfig):
    """A complete run: data, one of the networks, options of prediction."""

    # Pyright cannot know that settings are frozen, so that a field may be narrowed.
    data: ModulationData  # pyright: ignore[reportIncompatibleVariableOverride]
    model: SystemSettings  # pyright: ignore[reportIncompatibleVariableOverride]
    predict: ModulationPredict = ModulationPredict()  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _windows_are_frames(self) -> "ModulationRun":
        if self.predict.window != self.data.length:
            raise ValueError(
                f"predict.window={self.predict.window} differs from data.length={self.data.length}; a window of a "
                "capture is a frame: set both alike"
            )
        return self
