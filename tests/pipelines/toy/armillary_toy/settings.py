"""Settings of the toy domain, free of torch."""

from armillary.core.config import EvaluateSettings, OptimSettings, RunConfig, Settings, TrainSettings
from armillary.core.config.mixers import AttentionSettings
from armillary.core.config.trunk import TrunkSettings


class ToyData(Settings):
    """How noisy the augmentation is, which fifths test and validate, and how long a batch takes to load [s]."""

    classes: tuple[str, str] = ("fast", "slow")
    fold: int = 0
    noise: float = 0.3
    seconds_a_batch: float = 0.0


class ToyModel(Settings):
    """A small network with dropout; with a trunk, each point of a wave is a token."""

    width: int = 16
    dropout: float = 0.3
    trunk: TrunkSettings | None = None


class ToyPredict(Settings):
    """doubt: also tell the mean entropy of the probabilities, which chooses nothing."""

    doubt: bool = False


class ToyRun(RunConfig):
    """A complete run."""

    data: ToyData = ToyData()
    model: ToyModel = ToyModel()
    predict: ToyPredict = ToyPredict()


def simulated() -> ToyRun:
    """The toy recipe; it has no paper."""
    return ToyRun(
        recipe="toy/simulated",
        optim=OptimSettings(lr=1e-2, warmup_steps=3, average_decay=0.9),
        train=TrainSettings(epochs=5, batch_size=16, threads=1),
        evaluate=EvaluateSettings(resamples=50),
    )


def trunk() -> ToyRun:
    """Waves through a trunk."""
    settings = TrunkSettings(width=8, depth=2, pattern=(AttentionSettings(heads=2, rotary=True),))
    return simulated().model_copy(update={"recipe": "toy/trunk", "model": ToyModel(trunk=settings)})


def uses(config: ToyRun) -> tuple[str, ...]:
    """The one card."""
    return ("waves",)


def quick(config: ToyRun) -> ToyRun:
    """Without what chooses nothing."""
    return config.model_copy(update={"predict": ToyPredict(doubt=False)})
