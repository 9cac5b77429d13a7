"""Settings of the speech domain: data, options of prediction, and the complete run. Free of torch."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from armillary.core.config import RunConfig, Settings
from armillary.domains.speech.systems.settings import SystemSettings

Score = Literal["si_sdr", "sdr", "stoi", "pesq"]
_PESQ_HZ = (8000, 16000)
LOWEST_HZ, HIGHEST_HZ = 1_000, 1_000_000  # of recordings, and of what they are resampled to


def _low_high(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] <= pair[1]:
        raise ValueError(f"expected a lower and a higher number, got {pair[0]:g} and {pair[1]:g}")
    return pair


Range = Annotated[tuple[float, float], AfterValidator(_low_high)]
PositiveRange = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_low_high)]


class RoomSettings(Settings):
    """A shoebox room around every mixture, by the image method; needs the extra `rooms`."""

    probability: float = Field(default=1.0, ge=0, le=1, description="chance that a mixture is in a room")
    rt60_s: PositiveRange = Field(default=(0.1, 0.5), description="reverberation time [s]")
    target: Literal["direct", "reverberant"] = Field(
        default="direct", description="what is to be found: the voice without reflections, or with them"
    )


class DynamicSettings(Settings):
    """New mixtures of the training voices in every epoch, drawn from (seed, epoch, index); see mixing/."""

    mixtures: PositiveInt = Field(default=3000, description="mixtures that an epoch has")
    levels: Literal["loudness", "decibel"] = Field(
        default="loudness",
        description="loudness: each voice evenly between two loudnesses (LibriMix); decibel: the first voice louder by "
        "up to 5 dB (WSJ0-mix)",
    )
    loudness_lufs: Range = Field(default=(-33.0, -25.0), description="of a voice [LUFS]")
    noise_lufs: Range = Field(default=(-38.0, -30.0), description="of the noise [LUFS]")
    level_range_db: NonNegativeFloat = Field(default=5.0, description="decibel: widest difference of two voices [dB]")
    speed: PositiveRange = Field(
        default=(1.0, 1.0), description="a voice is played this much faster, drawn evenly between the two"
    )
    reverse: float = Field(default=0.0, ge=0, le=1, description="chance that a voice runs backwards")
    fewer: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="chance that a mixture has fewer voices, and silence for the others; teaches outputs to be silent",
    )
    same_speaker: bool = Field(default=False, description="whether two voices of a mixture may be of one speaker")
    room: RoomSettings | None = None


class SpeechData(Settings):
    """Which mixtures, at which rate, which part of them."""

    card: str
    sample_rate_hz: int = Field(
        default=8000, ge=LOWEST_HZ, le=HIGHEST_HZ, description="recordings are resampled to it [Hz]"
    )
    voices: PositiveInt = Field(default=2, ge=1, le=5, description="voices in a mixture")
    mode: Literal["min", "max"] = Field(default="min", description="cut to the shortest voice, or pad to the longest")
    noise: bool = Field(default=False, description="with the mixture's noise")
    reverberant: bool = Field(default=False, description="with the set's reverberation, where it has that (WHAMR!)")
    segment_s: PositiveFloat | None = Field(
        default=2.0, description="length of a training item [s]; None: whole mixtures"
    )
    dynamic: DynamicSettings | None = Field(default=None, description="None: the mixtures that the set lists")


class SpeechPredict(Settings):
    """Options of prediction: how files are read, cut, joined and written."""

    sample_rate_hz: int = Field(
        default=8000,
        ge=LOWEST_HZ,
        le=HIGHEST_HZ,
        description="files are resampled to it [Hz]; the run's data.sample_rate_hz",
    )
    window_s: PositiveFloat | None = Field(
        default=8.0, description="files are separated in windows of this length [s]; None: each file whole"
    )
    overlap: float = Field(default=0.25, gt=0, lt=0.9, description="share of a window that the next one has too")
    channel: NonNegativeInt | Literal["mean"] = Field(
        default="mean", description="channel of files with several, from 0, or their mean"
    )
    level: Literal["mixture", "peak"] = Field(
        default="mixture",
        description="mixture: voices are scaled by one factor a window, so that their sum fits the mixture best; "
        "peak: then those of a file are also lowered by one factor, so that no sample is beyond 0.99",
    )
    format: Literal["wav", "flac"] = Field(default="wav", description="of files written into a folder")
    scores: tuple[Score, ...] = Field(
        default=("si_sdr", "sdr", "stoi"), description="judged where the voices are known; pesq needs its extra"
    )
    examples: NonNegativeInt = Field(default=4, description="mixtures drawn, and to be listened to, in the report")


class SpeechRun(RunConfig):
    """A complete run: data, one of the networks, options of prediction."""

    # Pyright cannot know that settings are frozen, so that a field may be narrowed.
    data: SpeechData  # pyright: ignore[reportIncompatibleVariableOverride]
    model: SystemSettings  # pyright: ignore[reportIncompatibleVariableOverride]
    predict: SpeechPredict = SpeechPredict()  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _one_voice_has_noise(self) -> "SpeechRun":
        if self.data.voices == 1 and not (self.data.noise or self.data.reverberant):
            raise ValueError(
                "data.voices=1 without noise or reverberation leaves nothing to separate; set data.noise=true"
            )
        return self

    @model_validator(mode="after")
    def _judged_by_si_sdr(self) -> "SpeechRun":
        if "si_sdr" not in self.predict.scores:
            raise ValueError(
                f"predict.scores={list(self.predict.scores)} lacks si_sdr, by which runs are compared; add it"
            )
        return self

    @model_validator(mode="after")
    def _pesq_has_rates_of_its_own(self) -> "SpeechRun":
        # Else it would be found out after training, when the run is evaluated.
        if "pesq" in self.predict.scores and self.data.sample_rate_hz not in _PESQ_HZ:
            raise ValueError(
                f"predict.scores has pesq, which is defined at 8000 and 16000 Hz, and data.sample_rate_hz is "
                f"{self.data.sample_rate_hz}; take pesq out, or set another rate"
            )
        return self

    @model_validator(mode="after")
    def _files_come_at_the_rate_of_training(self) -> "SpeechRun":
        if self.predict.sample_rate_hz != self.data.sample_rate_hz:
            raise ValueError(
                f"predict.sample_rate_hz={self.predict.sample_rate_hz} differs from data.sample_rate_hz="
                f"{self.data.sample_rate_hz}; files are separated at the rate of training: set both alike"
            )
        return self
