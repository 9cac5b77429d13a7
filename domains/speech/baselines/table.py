"""The baselines of a run."""

from collections.abc import Mapping

from armillary.core.domain import Baseline
from armillary.domains.speech.baselines.blended import BlendedBaseline
from armillary.domains.speech.baselines.factorise import Factorise
from armillary.domains.speech.baselines.mixture import MixtureBaseline
from armillary.domains.speech.baselines.oracle import OracleBaseline
from armillary.domains.speech.baselines.wiener import Wiener
from armillary.domains.speech.settings import SpeechRun


def baselines(config: SpeechRun) -> Mapping[str, Baseline]:
    """The mixture, a blind method and, as upper references that know the voices, two ideal masks."""
    if config.data.voices == 1:
        blind = {"wiener": BlendedBaseline(config, Wiener(config))}
    else:
        blind = {"factorisation": BlendedBaseline(config, Factorise(config))}
    return {
        "mixture": MixtureBaseline(config),
        **blind,
        "oracle_ratio_mask": OracleBaseline(config, "ratio"),
        "oracle_binary_mask": OracleBaseline(config, "binary"),
    }
