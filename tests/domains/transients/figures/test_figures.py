"""Figures are drawn for every system, say what they show, and leave no global state."""

import io
import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from armillary.core.classification.scored import scored
from armillary.core.plotting import PALETTE, house_style, new_figure, series_style
from armillary.domains.transients.bands import BANDS
from armillary.domains.transients.data import make_items
from armillary.domains.transients.figures import figures
from armillary.domains.transients.figures.bands import band_style
from armillary.domains.transients.figures.curves import precision_recall_figure
from armillary.domains.transients.figures.report import choose_examples
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.recipes import raw_spcc, t2_spcc

BAND_NAMES = ("des_g", "des_r", "des_i", "des_z")
OVERALL = {"confusion", "roc", "precision_recall", "calibration"}


def _curves(number: int) -> LightCurves:
    rng = np.random.default_rng(0)
    rows = 24
    time = np.sort(rng.uniform(0, 80, (number, rows)), 1) + 56000
    flux = 80 * np.exp(-(((time - 56030) / 15) ** 2)) + rng.normal(0, 3, time.shape)
    unknown = np.full(number, np.nan)
    return LightCurves(
        object_id=np.array([f"SN{i}" for i in range(number)]),
        band=BAND_NAMES,
        wavelength=np.array([4720.0, 6415.0, 7835.0, 9260.0]),
        time=time.ravel(),
        band_index=np.tile(np.arange(rows) % 4, number).astype(np.int8),
        flux=flux.ravel().astype(np.float32),
        flux_error=np.full(number * rows, 3.0, np.float32),
        detected=(flux >= 15).ravel(),
        row_size=np.full(number, rows),
        ra=unknown,
        dec=unknown,
        redshift=np.full(number, 0.3, np.float32),
        redshift_error=np.full(number, 0.03, np.float32),
        redshift_spec=np.full(number, np.nan, np.float32),
        mwebv=np.full(number, 0.02, np.float32),
        label=np.array(["Ia"] * number),
        attrs={"extinction_corrected": "no", "zero_point": 27.5, "survey": "des"},
    )


def _case(kind: str, number: int = 9):
    """A run, its items and fabricated records with what that system adds to them."""
    config = raw_spcc() if kind == "raw" else t2_spcc()
    config = config.model_copy(update={"predict": config.predict.model_copy(update={"examples": 2})})
    truth = np.arange(number) % 3
    items = make_items(config, _curves(number), truth)
    probability = np.random.default_rng(1).dirichlet(np.ones(3), number).astype(np.float32)
    records = xr.Dataset(
        {"probability": (("item", "class"), probability), "truth": ("item", truth)},
        {"item": items.ids, "class": list(config.data.classes)},
    )
    if kind == "t2":
        activation = np.random.default_rng(2).normal(size=(number, 3, 100)).astype(np.float32)
        return config, items, records.assign(activation_map=(("item", "class", "time_step"), activation))
    sizes = items.curves.row_size
    records = records.assign(
        track_probability=(("observation", "class"), np.repeat(probability, sizes, 0)),
        track_time=("observation", items.time),
        track_row_size=("item", sizes),
        early_probability=(("item", "day", "class"), np.repeat(probability[:, None], 3, 1)),
    )
    return config, items, records.assign_coords(day=("day", [0.0, 10.0, 50.0]))


def _texts(figure) -> str:
    """All text of a figure that is drawn, so that drawing itself is tested too."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "extra"), [("raw", {"early"}), ("t2", set())])
def test_a_system_has_its_overall_figures_and_its_examples(kind, extra):
    config, items, records = _case(kind)
    drawn = figures(config, records, items)
    assert set(drawn) == OVERALL | extra | {"object_1", "object_2"}
    with house_style():
        texts = {name: _texts(figure) for name, figure in drawn.items()}
    assert "Flux [FLUXCAL]" in texts["object_1"]
    assert "Time since first detection [d]" in texts["object_1"]
    assert "true class" in texts["object_1"]
    assert ("Probability" if kind == "raw" else "Activation") in texts["object_1"]
    assert "Predicted class" in texts["confusion"]
    assert "calibration error" in texts["calibration"]


def test_without_known_classes_only_the_objects_are_drawn():
    config, items, records = _case("raw")
    unlabelled = records.assign(truth=("item", np.full(9, -1)))
    drawn = figures(config, unlabelled, items)
    assert set(drawn) == {"object_1", "object_2"}
    assert "true class" not in _texts(drawn["object_1"])


def test_records_without_tracks_or_maps_still_show_the_light_curve():
    config, items, records = _case("t2")
    drawn = figures(config, records.drop_vars("activation_map"), items)
    assert len(drawn["object_1"].axes) == 1


def test_no_items_are_no_figures():
    config, items, records = _case("t2")
    assert figures(config, records.isel(item=slice(0, 0)), items) == {}


def test_drawing_leaves_matplotlibs_settings_and_pyplot_alone():
    before = dict(mpl.rcParams)
    config, items, records = _case("raw")
    figures(config, records, items)
    assert dict(mpl.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_examples_show_a_right_and_a_wrong_object_of_each_class_before_a_second_one():
    called, truth = np.array([0, 0, 1, 1, 1, 0, 2]), np.array([0, 0, 0, 1, 1, 1, -1])
    prediction = xr.Dataset({"probability": (("item", "class"), np.eye(3)[called]), "truth": ("item", truth)})
    np.testing.assert_array_equal(choose_examples(prediction, 7), [0, 3, 2, 5, 1, 4, 6])


def test_a_precision_recall_curve_ends_where_all_are_found():
    known = scored(
        xr.Dataset(
            {
                "probability": (("item", "class"), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]])),
                "truth": ("item", np.array([0, 0, 1, 1])),
            },
            {"item": list("abcd"), "class": ["Ia", "II"]},
        )
    )
    for line in precision_recall_figure(known).axes[0].lines:
        assert line.get_xdata()[-1] == 1.0
        assert line.get_ydata()[-1] == 1.0


def test_bands_of_one_survey_differ_in_colour_and_in_marker():
    for survey in ("lsst", "des", "ztf"):
        styles = [band_style(band.name) for band in BANDS if band.survey == survey]
        assert len({style["color"] for style in styles}) == len(styles)
        assert len({style["marker"] for style in styles}) == len(styles)
    assert band_style("lsst_g") == band_style("ztf_g")


def test_fourteen_classes_have_fourteen_styles():
    assert len({tuple(series_style(place).values()) for place in range(14)}) == 14
    assert len(set(PALETTE)) == len(PALETTE)


def test_a_new_figure_has_the_size_that_was_asked_for():
    figure = new_figure(3.0, 2.0)
    assert tuple(figure.get_size_inches()) == (3.0, 2.0)
