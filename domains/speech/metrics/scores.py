"""All scores of separated voices against the voices themselves, and of the mixture against them."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.objectives.permutation import best_order, in_order
from armillary.domains.speech.metrics.distortion import sdr
from armillary.domains.speech.metrics.intelligibility import stoi
from armillary.domains.speech.metrics.quality import pesq
from armillary.domains.speech.settings import Score
from armillary.domains.speech.si_sdr import shape_of, si_sdr, si_sdr_pairs

Judge = Callable[[Tensor, Tensor, Tensor | None, int], Tensor]


def _si_sdr(estimates: Tensor, sources: Tensor, length: Tensor | None, sample_rate_hz: int) -> Tensor:
    return si_sdr(estimates, sources, length)


_JUDGES: Mapping[Score, Judge] = {"si_sdr": _si_sdr, "sdr": sdr, "stoi": stoi, "pesq": pesq}


def scores(
    estimates: Float[Tensor, "b k t"],
    sources: Float[Tensor, "b k t"],
    mixture: Float[Tensor, "b t"],
    length: Int[Tensor, " b"] | None,
    sample_rate_hz: int,
    which: Sequence[str],
) -> dict[str, Float[Tensor, "b k"]]:
    """Each of the scores `which` by its name, and as NAME_mixture what the mixture itself has.

    Estimates are taken in the order that is best by SI-SDR; scores stand in the order of the sources. SI-SDR is always
    there. NaN for a voice that is silent: it has nothing that could be found. Only the first `length` samples count.
    """
    estimates, sources, mixture = estimates.float(), sources.float(), mixture.float()
    estimates = in_order(estimates, best_order(si_sdr_pairs(estimates, sources, length)))
    heard = mixture.unsqueeze(1).expand_as(sources)
    sounds = shape_of(sources, length).sounds
    found: dict[str, Tensor] = {}
    for name in dict.fromkeys(("si_sdr", *which)):
        judge = _JUDGES[cast(Score, name)]
        for key, signals in ((name, estimates), (f"{name}_mixture", heard)):
            value = judge(signals, sources, length, sample_rate_hz)
            found[key] = torch.where(sounds, value, torch.nan)
    return found
