"""Figures and sounds show the right signals, of the right mixtures, with what is known of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from armillary.domains.speech.assemble import assemble
from armillary.domains.speech.baselines import baselines
from armillary.domains.speech.figures import figures, sounds
from armillary.domains.speech.figures.examples import choose_examples, examples
from armillary.domains.speech.figures.improvement import running_median
from armillary.domains.speech.figures.signals import FLOOR_DB, decibels
from armillary.domains.speech.settings import SpeechPredict, SpeechRun

Run = Callable[..., SpeechRun]
Items = Callable[..., Any]


def records_of(run: SpeechRun, items: Any) -> xr.Dataset:
    """Records of the ratio mask."""
    return baselines(run)["oracle_ratio_mask"].predict(items)


def again_of(run: SpeechRun) -> Callable[[Any, SpeechPredict], xr.Dataset]:
    """Gives the sources themselves at an eighth of their level for estimates, one item a batch."""

    def again(some: Any, options: SpeechPredict) -> xr.Dataset:
        assert options.scores == ()
        outputs = [
            {"estimate": some[(0, index)]["sources"][None] / 8, "index": np.array([index])}
            for index in range(len(some))
        ]
        return assemble(run, some, outputs[::-1])

    return again


@pytest.mark.parametrize("num_voices", [1, 2, 5])
def test_all_figures_are_drawn_with_a_caption(known_mixtures: Items, speech_run: Run, num_voices: int) -> None:
    run, items = speech_run(num_voices, noise=True), known_mixtures(3, num_voices)
    drawn = figures(run, records_of(run, items), items, again_of(run))
    assert list(drawn) == [
        "improvement_by_level", "improvement_by_sexes", "improvement_against_input", "mixture_1", "mixture_2",
        "mixture_3",
    ]  # fmt: skip
    for name, figure in drawn.items():
        assert len(str(figure.get_label())) > 40, name
        figure.canvas.draw()


def test_a_mixture_has_its_voices_beside_it_and_estimates_below(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(), known_mixtures(1, 2)
    figure = figures(run, records_of(run, items), items, again_of(run))["mixture_1"]
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles[:2] == ["Mixture", "Voice 1 (s00, M)"]
    assert "Voice 2 (s01, F)" in titles
    assert [title.partition(":")[0] for title in titles if "dB" in title] == ["Estimate 1", "Estimate 2"]
    labels = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert {"Time [s]", "Freq. [kHz]", "Amplitude"} <= labels
    scales = {image.get_clim() for axes in figure.axes for image in axes.images}
    assert scales == {(FLOOR_DB, 0.0)}


def test_without_a_model_voices_are_drawn_and_played_alone(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(), known_mixtures(2, 2)
    records = records_of(run, items)
    drawn = figures(run, records, items, None)
    assert "mixture_2" in drawn
    assert not any("Estimate" in axes.get_title(loc="left") for axes in drawn["mixture_1"].axes)
    assert [sound.label for sound in sounds(run, records, items, None).values()][:3] == [
        "mixture", "voice 1 (s00, M)", "voice 2 (s01, F)",
    ]  # fmt: skip


def test_estimates_are_brought_to_the_level_of_the_mixture(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(), known_mixtures(3, 2)
    for example in examples(run, records_of(run, items), items, again_of(run)):
        place = items.ids.tolist().index(example.id)
        assert example.estimates is not None
        np.testing.assert_array_equal(example.sources, items.sources[place])
        np.testing.assert_allclose(example.estimates, items.sources[place], rtol=0, atol=1e-3)


def test_sounds_of_a_mixture_have_one_factor_and_stay_in_full_scale(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(), known_mixtures(2, 2)
    found = sounds(run, records_of(run, items), items, again_of(run))
    assert list(found)[:5] == [
        "mixture_1_mixture", "mixture_1_voice_1", "mixture_1_estimate_1", "mixture_1_voice_2", "mixture_1_estimate_2",
    ]  # fmt: skip
    first = {name.removeprefix("mixture_1_"): sound for name, sound in found.items() if "mixture_1_" in name}
    assert len({sound.group for sound in first.values()}) == 1
    assert max(np.abs(sound.samples).max() for sound in first.values()) == pytest.approx(0.9)
    voices = first["voice_1"].samples + first["voice_2"].samples
    assert np.abs(first["mixture"].samples - voices).max() < 0.05
    assert {sound.sample_rate_hz for sound in found.values()} == {8000}
    assert "SI-SDR" in first["estimate_1"].label


def test_examples_go_from_the_worst_to_the_best(speech_run: Run) -> None:
    gain = np.array([[3.0, 3.0], [9.0, 9.0], [np.nan, 1.0], [-2.0, 0.0], [5.0, 5.0]])
    both = ("item", "source")
    records = xr.Dataset({"si_sdr": (both, gain), "si_sdr_mixture": (both, np.zeros_like(gain))})
    assert choose_examples(records, 3).tolist() == [3, 4, 1]
    assert choose_examples(records, 9).tolist() == [3, 0, 4, 1]
    assert choose_examples(records, 1).tolist() == [4]
    assert choose_examples(records, 0).tolist() == []
    assert choose_examples(records.drop_vars("si_sdr"), 3).tolist() == []


def test_what_is_not_known_is_not_drawn(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(), known_mixtures(2, 2)
    items.known = {"speakers": np.full((2, 2), ""), "sexes": np.full((2, 2), "")}
    records = records_of(run, items)
    assert "improvement_by_sexes" not in figures(run, records, items)
    assert figures(run, records.isel(item=slice(0, 0)), known_mixtures(0, 2)) == {}
    silent = records.assign(si_sdr=np.nan * records["si_sdr"])
    assert figures(run, silent, items) == {}


def test_the_loudest_place_is_zero_and_nothing_is_below_the_floor() -> None:
    tone = (0.5 * np.sin(np.arange(80_000) * 0.7)).astype(np.float32)
    found = decibels(tone, 8000, 0.25)
    assert found.shape[0] == 129
    assert found.shape[1] <= 200
    assert found.max() == pytest.approx(0, abs=1.5)
    assert found.min() == FLOOR_DB


def test_a_running_median_goes_along_the_first_axis() -> None:
    rng = np.random.default_rng(0)
    across = rng.permutation(np.arange(80.0))
    middle, median = running_median(across, 2 * across)
    np.testing.assert_allclose(median, 2 * middle)
    np.testing.assert_allclose(middle, np.arange(8) * 10 + 4.5)
    assert len(running_median(np.array([1.0]), np.array([2.0]))[0]) == 1
