"""All figures and sounds of a prediction, by name."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from armillary.core.domain import Again, Items, Sound
from armillary.core.plotting import house_style
from armillary.domains.speech.figures.examples import Example, examples
from armillary.domains.speech.figures.improvement import against_input, by_level, by_sexes
from armillary.domains.speech.figures.signals import signals_figure
from armillary.domains.speech.settings import SpeechRun

_PEAK = 0.9  # of the loudest sound of an example; one factor for all of them, so that levels can be compared
CAPTIONS = {
    "improvement_by_level": "Improvement of SI-SDR of voices by their level over the others in the mixture (a lone "
    "voice: by the SI-SDR of the mixture). Line: median; dashed: nothing gained; the outermost bins hold the rest.",
    "improvement_by_sexes": "Improvement of SI-SDR by the sexes of the speakers (F female, M male). Line: median; "
    "dashed: nothing gained; the outermost bins hold the rest.",
    "improvement_against_input": "Improvement of SI-SDR of each voice against the SI-SDR of the mixture itself; "
    "line: median; dashed: nothing gained.",
    "mixture": "A mixture, its voices and, below them, what was found of them with its SI-SDR and the improvement: "
    "waveforms, and spectrograms of one colour scale. The mixtures go from the worst separated to the best.",
}


def figures(config: SpeechRun, prediction: xr.Dataset, items: Items, again: Again | None = None) -> dict[str, Figure]:
    """Figures over all voices, and `predict.examples` mixtures one by one, without estimates where `again` is None.

    Names are "improvement_by_level", "improvement_by_sexes", "improvement_against_input" and "mixture_1", ...; labels
    hold the captions. What the prediction cannot tell (no sexes, no scores) is left out.
    """
    drawn: dict[str, Figure | None] = {}
    with house_style():
        if prediction.sizes.get("item", 0):
            drawn["improvement_by_level"] = by_level(prediction)
            drawn["improvement_by_sexes"] = by_sexes(prediction)
            drawn["improvement_against_input"] = against_input(prediction)
            for number, example in enumerate(examples(config, prediction, items, again), 1):
                drawn[f"mixture_{number}"] = signals_figure(example, config.data.sample_rate_hz)
    found = {name: figure for name, figure in drawn.items() if figure is not None}
    for name, figure in found.items():
        figure.set_label(CAPTIONS[name if name in CAPTIONS else name.rpartition("_")[0]])
    return found


def sounds(config: SpeechRun, prediction: xr.Dataset, items: Items, again: Again | None = None) -> Mapping[str, Sound]:
    """The mixtures that `figures` draws one by one, with their voices and estimates, to be listened to."""
    found: dict[str, Sound] = {}
    for number, example in enumerate(examples(config, prediction, items, again), 1):
        for name, (label, samples) in _heard(example).items():
            rate = config.data.sample_rate_hz
            found[f"mixture_{number}_{name}"] = Sound(samples, rate, label, f"Mixture {number}: {example.id}")
    return found


def _heard(example: Example) -> dict[str, tuple[str, np.ndarray]]:
    parts: dict[str, tuple[str, np.ndarray]] = {"mixture": ("mixture", example.mixture)}
    for voice, source in enumerate(example.sources):
        who = f" ({example.voices[voice]})" if example.voices[voice] else ""
        parts[f"voice_{voice + 1}"] = (f"voice {voice + 1}{who}", source)
        if example.estimates is not None:
            told = f"{example.si_sdr_db[voice]:.1f} dB".replace("-", "\N{MINUS SIGN}")
            parts[f"estimate_{voice + 1}"] = (f"estimate {voice + 1}, SI-SDR {told}", example.estimates[voice])
    peak = max(float(np.abs(samples).max(initial=0.0)) for _, samples in parts.values())
    factor = np.float32(_PEAK / peak if peak > 0 else 1.0)
    return {name: (label, factor * samples) for name, (label, samples) in parts.items()}
