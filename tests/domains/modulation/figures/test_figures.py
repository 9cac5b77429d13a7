"""Figures are drawn for sets and recordings, say what they show, and leave no global state."""

import io
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from armillary.core.plotting import house_style
from armillary.domains.modulation.figures import figures, joint_figures
from armillary.domains.modulation.figures.capture import COLUMNS, capture_figure, spectrogram
from armillary.domains.modulation.figures.choose import choose_frames
from armillary.domains.modulation.figures.spectra import frequencies, segment_powers
from armillary.domains.modulation.figures.strip import STEPS, strip_of
from armillary.domains.modulation.figures.units import decibel, frequency_axis, time_axis
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.items import FrameItems
from armillary.domains.modulation.recipes import clst_rml2016a

RATE_HZ = 200e3
CLASSES = clst_rml2016a().data.classes
OVERALL = {"accuracy_by_snr", "confusion", "confusion_by_snr", "calibration"}


def _case(number: int = 66, examples: int = 2, capture: bool = False):
    """A run, its items (tones) and fabricated records of them, right two times of three."""
    config = clst_rml2016a()
    config = config.model_copy(update={"predict": config.predict.model_copy(update={"examples": examples})})
    place = np.arange(number)
    truth = np.full(number, -1) if capture else place % len(CLASSES)
    phase = 2 * np.pi * np.arange(128) * ((place[:, None] % 9) - 4) / 16
    iq = np.stack([np.cos(phase), np.sin(phase)], 1).astype(np.float32)
    snr = np.full(number, np.nan) if capture else 10.0 * (place % 3)
    source = np.where(place < number // 2, "one.cf32", "two.cf32") if capture else place.astype(np.str_)
    ids = np.char.add("frame", place.astype(np.str_))
    start = 128 * (place % (number // 2)) if capture else 0 * place
    frames = Frames(iq, np.full(number, ""), snr.astype(np.float32), ids, source, start, RATE_HZ)
    items = FrameItems(config, frames, truth, place, (), capture)
    probability = np.full((number, len(CLASSES)), 0.2 / len(CLASSES), np.float32)
    probability[place, (place + (place % 3 == 0)) % len(CLASSES)] += 0.8
    variables = {
        "probability": (("item", "class"), probability),
        "truth": ("item", truth),
        "snr_db": ("item", frames.snr_db),
        "open_set_score": ("item", (place % 7).astype(np.float32)),
    }
    if capture:
        variables |= {"start": ("item", start), "source": ("item", source)}
    attrs = {"sample_rate_hz": RATE_HZ, "window": 128, "hop": 128}
    return config, xr.Dataset(variables, {"item": ids, "class": list(CLASSES)}, attrs), items


def _text(figure) -> str:
    """All text of a figure that is drawn, so that drawing itself is tested too."""
    buffer = io.StringIO()
    with house_style():
        figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def test_a_set_has_its_overall_figures_and_its_examples():
    config, records, items = _case()
    drawn = figures(config, records, items)
    assert set(drawn) == OVERALL | {"frame_1", "frame_2"}
    texts = {name: _text(figure) for name, figure in drawn.items()}
    assert "SNR label [dB]" in texts["accuracy_by_snr"]
    assert "chance, 1/11" in texts["accuracy_by_snr"]
    for label in ("Time [ms]", "Frequency [kHz]", "Power [dB]", "I (unit power)", "true class", "label 20 dB"):
        assert label in texts["frame_1"]
    assert all(figure.get_label() for figure in drawn.values())


def test_the_accuracy_curve_is_the_metric_and_lies_in_its_range():
    config, records, items = _case()
    axes = figures(config, records, items)["accuracy_by_snr"].axes[0]
    assert_array_equal(axes.lines[0].get_xdata(), [0, 10, 20])
    assert_allclose(axes.lines[0].get_ydata(), [0, 1, 1])  # every third frame is taken for the next class
    vertices = axes.collections[0].get_paths()[0].vertices
    assert vertices[:, 1].min() >= -1e-9
    assert vertices[:, 1].max() <= 1 + 1e-9
    assert_allclose(vertices[vertices[:, 0] == 0, 1].max(), 0.1487, atol=1e-3)  # Wilson's bound of 0 in 22


def test_frames_of_left_out_classes_get_their_histogram():
    config, records, items = _case()
    some = records.assign(truth=records["truth"].where(records["truth"] > 1, -1))
    text = _text(figures(config, some, items)["open_set"])
    assert "left-out classes (12 frames)" in text
    assert "known classes (54 frames)" in text


def test_records_without_snr_labels_have_no_curve():
    config, records, items = _case()
    drawn = figures(config, records.assign(snr_db=records["snr_db"] * np.nan), items)
    assert set(drawn) == {"confusion", "calibration", "frame_1", "frame_2"}
    assert "label" not in _text(drawn["frame_1"])


def test_one_snr_label_has_no_panels():
    config, records, items = _case()
    assert "confusion_by_snr" not in figures(config, records.assign(snr_db=0 * records["snr_db"]), items)


def test_no_items_are_no_figures():
    config, records, items = _case()
    assert figures(config, records.isel(item=slice(0, 0)), items.select(np.arange(0))) == {}


def test_each_recording_has_its_spectrogram():
    config, records, items = _case(capture=True)
    drawn = figures(config, records, items)
    assert set(drawn) == {"spectrogram_1", "spectrogram_2", "frame_1", "frame_2"}
    text = _text(drawn["spectrogram_2"])
    for part in ("two.cf32", "Frequency [kHz]", "Time [ms]", "Predicted class", "QAM64"):
        assert part in text


def test_windows_that_only_gave_context_are_not_drawn():
    config, records, items = _case(capture=True, examples=1)
    later = records.isel(item=slice(5, None))
    config = config.model_copy(update={"predict": config.predict.model_copy(update={"examples": 1})})
    line = figures(config, later, items)["frame_1"].axes[1].lines[0].get_ydata()
    chosen = int(choose_frames(later, 1)[0])
    assert_allclose(line, items.iq(np.array([chosen + 5]))[0, 0], atol=1e-5)


def test_an_unknown_rate_is_drawn_in_samples():
    config, records, items = _case(capture=True)
    unknown = FrameItems(config, replace(items.frames, sample_rate_hz=np.nan), items.targets, items.chosen, (), True)
    drawn = figures(config, records.assign_attrs(sample_rate_hz=np.nan), unknown)
    for name in ("spectrogram_1", "frame_1"):
        assert "Time [samples]" in _text(drawn[name])
        assert "Frequency [1/sample]" in _text(drawn[name])


def test_frames_of_zeros_are_drawn():
    config, records, items = _case(examples=1)
    silent = FrameItems(config, replace(items.frames, iq=0 * items.frames.iq), items.targets, items.chosen)
    assert "Power [dB]" in _text(figures(config, records, silent)["frame_1"])


def test_drawing_leaves_matplotlibs_settings_and_pyplot_alone():
    before = dict(mpl.rcParams)
    config, records, items = _case(capture=True)
    figures(config, records, items)
    assert dict(mpl.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_examples_are_right_and_wrong_in_turn_of_new_classes_at_the_highest_labels():
    called, truth = np.array([0, 1, 0, 2, 2, 1]), np.array([0, 0, 1, 1, 2, 1])
    variables = {"probability": (("item", "class"), np.eye(3)[called]), "truth": ("item", truth)}
    prediction = xr.Dataset(variables | {"snr_db": ("item", [0.0, 18, 18, 0, 18, 10])})
    # right of class 2 at 18 dB, wrong of class 0 at 18, right of class 1 at 10, and so on.
    assert_array_equal(choose_frames(prediction, 9), [4, 1, 5, 2, 0, 3])


def test_windows_without_a_signal_are_shown_last():
    _, records, _ = _case(capture=True)
    detected = np.zeros(records.sizes["item"], np.bool_)
    detected[[7, 8]] = True
    assert set(choose_frames(records.assign(detected=("item", detected)), 2).tolist()) == {7, 8}


def test_a_tone_is_at_its_frequency():
    tone = np.exp(2j * np.pi * 0.125 * np.arange(300))
    power = segment_powers(np.stack([tone.real, tone.imag]).astype(np.float32))
    assert power.shape == (1, 256)
    assert frequencies(256)[power[0].argmax()] == 0.125


def test_columns_of_a_spectrogram_come_from_the_windows_at_their_time_and_gaps_stay_empty():
    start = np.array([0, 64, 128, 512, 576])

    def read(places):
        assert len(places) <= COLUMNS
        levels = np.arange(1.0, 6.0)[places].astype(np.float32)
        return np.stack([np.repeat(levels[:, None], 64, 1), np.zeros((len(places), 64), np.float32)], 1)

    found = spectrogram(start, 64, read).max(0)
    assert len(found) == 10
    assert_array_equal(np.isnan(found), [False] * 3 + [True] * 5 + [False] * 2)
    assert_allclose(found[[0, 1, 2, 8, 9]] / found[0], np.arange(1, 6) ** 2, rtol=1e-6)


def _windows(kind: np.ndarray, **more) -> xr.Dataset:
    count = len(kind)
    variables = {
        "probability": (("item", "class"), np.eye(3, dtype=np.float32)[kind]),
        "start": ("item", 100 * np.arange(count)),
        "source": ("item", np.full(count, "x.cf32")),
    }
    attrs = {"window": 100, "sample_rate_hz": RATE_HZ, "reject": 0.1}
    return xr.Dataset(
        variables | {name: ("item", values) for name, values in more.items()}, {"class": list("abc")}, attrs
    )


def test_the_strip_tells_class_rejection_and_silence():
    strip = strip_of(
        _windows(
            np.array([0, 0, 2, 2]), typicality=np.array([0.5, 0.05, 0.5, 0.05]), detected=np.array([1, 1, 1, 0]) > 0
        )
    )
    assert strip.names == ("a", "c", "unknown class", "no signal")
    assert_array_equal(strip.share.argmax(0), [0, 2, 1, 3])
    assert_array_equal(strip.end, [100, 200, 300, 400])


def test_overlapping_windows_last_until_the_next_one_and_gaps_stay_open():
    windows = _windows(np.array([0, 1, 2])).assign(start=("item", np.array([0, 50, 500])))
    assert_array_equal(strip_of(windows).end, [50, 150, 600])


@pytest.mark.parametrize("count", [1, STEPS, STEPS + 1, 5 * STEPS + 3])
def test_steps_of_a_long_strip_keep_every_window(count):
    strip = strip_of(_windows(np.arange(count) % 3))
    assert len(strip.begin) <= STEPS
    assert_allclose(strip.share.sum(0), 1)
    assert (strip.begin[0], strip.end[-1]) == (0, 100 * count)
    assert_array_equal(strip.begin[1:], strip.end[:-1])


def test_a_recording_of_a_million_windows_reads_only_what_it_draws():
    count, asked = 1_000_000, list[int]()

    def read(places):
        asked.append(len(places))
        return np.ones((len(places), 2, 100), np.float32)

    figure = capture_figure(_windows(np.arange(count) % 3), read)
    assert sum(asked) <= COLUMNS
    assert "Time [s]" in _text(figure)


def test_rows_without_a_class_are_hatched():
    windows = _windows(np.array([0, 1]), detected=np.array([True, False]))
    figure = capture_figure(windows, lambda places: np.ones((len(places), 2, 100), np.float32))
    hatches = [area.get_hatch() for area in figure.axes[1].collections]
    assert hatches == [None, "...."]


def test_units_follow_rate_and_length():
    assert (time_axis(1e3, 500).label, time_axis(1e3, 1001).label) == ("Time [ms]", "Time [s]")
    assert time_axis(200e3, 128).scale * 200 == 1.0
    assert frequency_axis(200e3).scale == 200.0
    assert_allclose(decibel(np.array([1.0, 0.01, 0.0])), [0, -20, -80])
    assert_array_equal(np.isnan(decibel(np.array([np.nan, 1.0]))), [True, False])
    assert_array_equal(decibel(np.zeros(2)), [-80, -80])


def test_runs_are_told_apart_and_their_means_are_told():
    _, records, _ = _case()
    perfect = records.assign(probability=(("item", "class"), np.eye(11, dtype=np.float32)[records["truth"].values]))
    figure = joint_figures({"clst": records, "forest": perfect})["accuracy_of_runs"]
    curves = figure.axes[0].lines[:2]
    for look in ("get_color", "get_marker", "get_linestyle"):
        assert getattr(curves[0], look)() != getattr(curves[1], look)()
    text = _text(figure)
    assert "clst, 0.667" in text
    assert "forest, 1.000" in text
    assert "chance, 1/11" in text


def test_runs_without_snr_labels_have_no_joint_curve():
    _, records, _ = _case()
    assert joint_figures({"one": records.drop_vars("snr_db"), "two": records.drop_vars("snr_db")}) == {}
    drawn = joint_figures({"one": records, "two": records.drop_vars("snr_db")})["accuracy_of_runs"]
    assert "two" not in _text(drawn)
