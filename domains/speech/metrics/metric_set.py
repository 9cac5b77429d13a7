"""The metrics that a run reports."""

from functools import partial

import numpy as np
import xarray as xr

from armillary.core.classification.scored import define
from armillary.core.domain import Metric, MetricSet
from armillary.domains.speech.metrics.groups_of_voices import LEVEL_BINS, LevelBin, sex_group, sex_groups
from armillary.domains.speech.metrics.voices import Prepared, gain, mean, median, score
from armillary.domains.speech.settings import SpeechRun

PRIMARY = "si_sdri"


def metrics(config: SpeechRun) -> MetricSet:
    """All metrics of a run, of its `predict.scores`; the mean improvement of SI-SDR chooses checkpoints.

    An improvement is a voice's score minus that of the mixture taken for it. A silent voice is left out of all. In
    parts of the voices (by level difference, by sex) values are NaN where no voice is.
    """
    asked = config.predict.scores
    voices = "mean over voices"
    found = [
        define(
            PRIMARY, partial(_gain, name="si_sdr"), "max", f"improvement of SI-SDR over the mixture, {voices}", "dB"
        ),
        define("si_sdri_median", _median, "max", "improvement of SI-SDR over the mixture, median over voices", "dB"),
        define("got_worse", _got_worse, "min", "share of voices with a lower SI-SDR than the mixture has"),
        define("si_sdr", partial(_score, name="si_sdr"), "max", f"SI-SDR, {voices}", "dB"),
    ]
    if "sdr" in asked:
        found.append(define("sdri", partial(_gain, name="sdr"), "max", f"improvement of SDR, {voices}", "dB"))
        found.append(define("sdr", partial(_score, name="sdr"), "max", f"SDR by BSS-eval 3, {voices}", "dB"))
    for name, title in (("stoi", "STOI"), ("pesq", "PESQ")):
        if name in asked:
            found.append(define(name, partial(_score, name=name), "max", f"{title}, {voices}"))
            gained = f"improvement of {title} over the mixture, {voices}"
            found.append(define(f"{name}_gain", partial(_gain, name=name), "max", gained))
    return MetricSet((*found, *_parts(config)), PRIMARY)


def _parts(config: SpeechRun) -> tuple[Metric, ...]:
    levels = tuple(
        define(
            f"{PRIMARY}_{part.name}", partial(_at_level, part=part), "max",
            f"{PRIMARY} of voices whose level over the others is {part.words}", "dB",
        )
        for part in LEVEL_BINS
    )  # fmt: skip
    sexes = tuple(
        define(f"{PRIMARY}_{name}", partial(_of_sexes, name=name), "max", f"{PRIMARY} of mixtures of {name}", "dB")
        for name in sex_groups(config.data.voices)
    )
    return (*levels, *sexes)


def _gain(records: xr.Dataset, name: str) -> Prepared:
    return mean(gain(records, name))


def _score(records: xr.Dataset, name: str) -> Prepared:
    return mean(score(records, name))


def _median(records: xr.Dataset) -> Prepared:
    return median(gain(records, "si_sdr"))


def _got_worse(records: xr.Dataset) -> Prepared:
    improvement = gain(records, "si_sdr")
    return mean(np.where(np.isnan(improvement), np.nan, improvement < 0))


def _at_level(records: xr.Dataset, part: LevelBin) -> Prepared:
    return mean(gain(records, "si_sdr"), part.holds(records))


def _of_sexes(records: xr.Dataset, name: str) -> Prepared:
    chosen = (sex_group(records) == name)[:, None]
    improvement = gain(records, "si_sdr")
    return mean(improvement, np.broadcast_to(chosen, improvement.shape))
