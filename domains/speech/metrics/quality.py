"""Perceptual evaluation of speech quality, by the optional package pesq."""

import numpy as np
from jaxtyping import Float, Float32, Int
from torch import Tensor

from armillary.core.errors import ConfigError, MissingExtraError
from armillary.domains.speech.metrics.each_voice import each_voice

_BANDS = {8000: "nb", 16000: "wb"}


def pesq(
    estimates: Float[Tensor, "b k t"],
    sources: Float[Tensor, "b k t"],
    length: Int[Tensor, " b"] | None,
    sample_rate_hz: int,
) -> Float[Tensor, "b k"]:
    """Predicted mean opinion, 1 to 4.64: ITU-T P.862.2 (wide band) at 16 kHz, P.862.1 (narrow band) at 8 kHz.

    Values of the two rates cannot be compared. NaN where the measure finds no utterance (silence) or too few samples.

    References:
        Rix, Beerends, Hollier and Hekstra 2001, "Perceptual evaluation of speech quality (PESQ)"; ITU-T P.862.

    Raises:
        MissingExtraError: the package pesq is not installed. ConfigError: another rate than 8 or 16 kHz.
    """
    if sample_rate_hz not in _BANDS:
        raise ConfigError(
            f"PESQ is defined at 8000 and 16000 Hz, got {sample_rate_hz} Hz; take 'pesq' out of predict.scores"
        )
    try:
        import pesq as package
    except ImportError as error:
        raise MissingExtraError("pesq", "pesq", "PESQ in predict.scores") from error
    answer = package.PesqError.RETURN_VALUES

    def score(source: Float32[np.ndarray, " t"], estimate: Float32[np.ndarray, " t"]) -> float:
        value = package.pesq(sample_rate_hz, source, estimate, _BANDS[sample_rate_hz], on_error=answer)
        # Failures are returned as -1.
        return value if value >= 0 else float("nan")

    return each_voice(score, estimates, sources, length)
