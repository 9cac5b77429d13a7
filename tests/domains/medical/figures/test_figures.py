"""Figures are drawn for every task, say what they show and that they are no diagnosis, and leave no global state."""

import io
import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from armillary.core.plotting import house_style
from armillary.domains.medical.figures import figures
from armillary.domains.medical.figures.overlays import is_thin, worst_masks
from armillary.domains.medical.figures.reliability import binned
from armillary.domains.medical.figures.roc import curve
from armillary.domains.medical.figures.worst import worst_items
from armillary.domains.medical.metrics.labels import judged, rank_labels
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.recipes import mae_pretrain_vit_s, medmamba_tiny, simulated, vm_unet

SIZE = 20


class Pictures:
    """Items of grey images with a bright square, and masks of it."""

    def __init__(self, places: np.ndarray, masked: bool = False, shape: tuple[int, ...] = (SIZE, SIZE)) -> None:
        self.places, self.masked, self.shape = places, masked, shape
        self.ids = self.groups = np.array([f"secret{place}" for place in places])
        self.problems = ()

    def __len__(self) -> int:
        return len(self.places)

    def select(self, indices: np.ndarray) -> "Pictures":
        return Pictures(self.places[indices], self.masked, self.shape)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, object]:
        image = np.full((1, *self.shape), 0.01 * (self.places[key[1]] % 50), np.float32)
        mask = np.zeros((2, *self.shape), np.float32)
        mask[0, ..., 4:14, 4:14] = 1
        mask[1] = np.nan
        return {"image": image + 0.5 * mask[:1], "mask": mask} if self.masked else {"image": image}

    def collate(self, items: object) -> dict[str, object]:
        return {}


def short(config, examples: int = 4):
    predict = config.predict.model_copy(update={"examples": examples})
    return config.model_copy(
        update={"predict": predict, "evaluate": config.evaluate.model_copy(update={"resamples": 20})}
    )


def labels_case(
    count: int = 40, names: tuple[str, ...] = ("Nodule", "Pleural_Thickening", "Hernia"), axis: str = "label"
):
    rng = np.random.default_rng(0)
    target = (rng.random((count, len(names))) < 0.4).astype(np.float32)
    target[:, 2:] = 0  # nobody has a hernia
    target[0, 0] = np.nan
    if axis == "class":
        target = np.eye(len(names), dtype=np.float32)[rng.integers(0, len(names), count)]
    noise = rng.random(target.shape)
    probability = np.clip(0.6 * np.nan_to_num(target) + 0.4 * noise, 0.01, 0.99)
    if axis == "class":
        probability /= probability.sum(1, keepdims=True)
    variables = {
        "probability": (("item", axis), probability.astype(np.float32)),
        "target": (("item", axis), target),
        "threshold": (axis, np.full(len(names), 0.5, np.float32)),
        "group": ("item", [f"patient{k // 2}" for k in range(count)]),
        "truth": ("item", target.argmax(1)),
    }
    records = xr.Dataset(variables, {"item": [f"secret{k}" for k in range(count)], axis: list(names)})
    return records, Pictures(np.arange(count))


def masks_case(count: int = 7, shape: tuple[int, ...] = (SIZE, SIZE)):
    dice = np.stack([np.linspace(0.9, 0.3, count), np.full(count, np.nan)], 1).astype(np.float32)
    records = xr.Dataset(
        {"dice": (("item", "structure"), dice), "group": ("item", [str(k) for k in range(count)])},
        {"item": [f"secret{k}" for k in range(count)], "structure": ["left_lung", "heart"]},
    )
    return records, Pictures(np.arange(count), masked=True, shape=shape)


def asked(variables, extra=None):
    """`again` for figures: keeps what it was asked for."""
    calls = []

    def again(some, options):
        calls.append((some.places.tolist(), options))
        return xr.Dataset(variables(len(some)), extra)

    return again, calls


def texts(drawn) -> dict[str, str]:
    """All text of each figure, which is drawn for it."""
    found = {}
    for name, figure in drawn.items():
        buffer = io.StringIO()
        with house_style():
            figure.savefig(buffer, format="svg")
        found[name] = buffer.getvalue()
    return found


def maps(count):
    return {"map": (("item", "label", "row", "column"), np.random.default_rng(0).random((count, 3, SIZE, SIZE)))}


def test_labels_have_curves_reliability_worst_cases_and_maps():
    records, items = labels_case()
    again, calls = asked(maps)
    drawn = figures(short(simulated()), records, items, again)
    assert set(drawn) == {"roc", "reliability", "worst_cases", "maps"}
    assert calls[0][1].maps == "gradient"
    assert len(calls[0][0]) == 4
    found = texts(drawn)
    assert "Pleural Thickening" in found["roc"]
    assert "Hernia" not in found["roc"]
    for text in found.values():
        assert NOTICE in text
        assert "secret" not in text
        assert "patient0" not in text
    assert all(NOTICE in figure.get_label() for figure in drawn.values())


def test_without_again_there_are_no_maps():
    records, items = labels_case()
    assert set(figures(short(simulated()), records, items, None)) == {"roc", "reliability", "worst_cases"}


def test_classes_have_calibration_and_tell_the_truth_and_what_was_said():
    records, items = labels_case(axis="class")
    drawn = figures(short(medmamba_tiny()), records, items, None)
    assert set(drawn) == {"roc", "calibration", "confusion", "worst_cases"}
    assert "taken for" in texts(drawn)["worst_cases"]


def test_of_two_classes_one_curve_is_drawn():
    records, items = labels_case(names=("normal", "pneumonia"), axis="class")
    drawn = figures(short(medmamba_tiny()), records, items, None)
    assert set(drawn) == {"roc", "calibration", "worst_cases"}
    assert len(drawn["roc"].axes[0].lines) == 2  # and the diagonal


def test_at_most_six_curves_are_drawn_the_worst_first():
    names = tuple("abcdefgh")
    records, items = labels_case(count=60, names=names)
    target = (np.random.default_rng(1).random((60, 8)) < 0.5).astype(np.float32)
    skill = np.linspace(0, 1, 8)
    probability = skill * target + (1 - skill) * np.random.default_rng(2).random((60, 8))
    records = records.assign(target=(("item", "label"), target), probability=(("item", "label"), probability))
    axes = figures(short(simulated()), records, items, None)["roc"].axes[0]
    shown = [line.get_label()[0] for line in axes.lines[1:]]
    assert len(shown) == 6
    assert "h" not in shown
    areas = [float(line.get_label().split()[1]) for line in axes.lines[1:]]
    assert areas == sorted(areas)


def test_the_curves_area_is_the_auroc_and_it_goes_from_corner_to_corner():
    records, _ = labels_case()
    ranked = rank_labels(judged(records))[0]
    across, up = curve(ranked)
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)
    from armillary.core.classification.ranking import roc_area

    assert_allclose(np.trapezoid(up, across), ranked.area(np.ones(40), roc_area))


def test_unknown_labels_alone_give_no_figure():
    records, items = labels_case()
    assert figures(short(simulated()), records.assign(target=records["target"] * np.nan), items, None) == {}


def test_no_items_are_no_figures():
    records, items = labels_case()
    assert figures(short(simulated()), records.isel(item=slice(0, 0)), items.select(np.arange(0)), None) == {}


def test_the_worst_items_have_the_highest_loss_of_what_is_known():
    records, _ = labels_case(count=4)
    target = np.array([[1, 0, 0], [1, np.nan, np.nan], [0, 0, 0], [np.nan, np.nan, np.nan]])
    probability = np.array([[0.9, 0.1, 0.1], [0.01, 0.5, 0.5], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    records = records.assign(target=(("item", "label"), target), probability=(("item", "label"), probability))
    assert_array_equal(worst_items(judged(records), 9), [1, 2, 0])


def test_bins_hold_the_mean_and_the_share():
    count, mean, rate = binned(np.array([0.01, 0.03, 0.55, 1.0]), np.array([False, True, True, True]))
    assert_allclose(count, [2, 1, 1])
    assert_allclose(mean, [0.02, 0.55, 1.0])
    assert_allclose(rate, [0.5, 1, 1])


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (5, SIZE, SIZE)])
def test_masks_have_overlays_of_truth_and_prediction_worst_first(shape):
    records, items = masks_case(shape=shape)
    space = ("plane", "row", "column")[-len(shape) :]
    found = np.zeros((4, 2, *shape), np.float32)
    found[..., 6:16, 4:14] = 0.9
    names = {"structure": ["left_lung", "heart"]}
    again, calls = asked(lambda count: {"probability": (("item", "structure", *space), found[:count])}, names)
    drawn = figures(short(vm_unet()), records, items, again)
    assert set(drawn) == {"overlays", "dice"}
    assert calls[0][1].keep_masks
    assert calls[0][0] == [6, 5, 4, 3]
    text = texts(drawn)["overlays"]
    for part in ("truth", "predicted", "left lung 0.30", NOTICE):
        assert part in text
    assert "heart" not in text


def test_without_again_the_truth_alone_is_drawn():
    records, items = masks_case()
    text = texts(figures(short(vm_unet()), records, items, None))["overlays"]
    assert "truth" in text
    assert "predicted" not in text


def test_items_without_a_score_are_passed_over():
    records, _ = masks_case()
    records["dice"][6] = np.nan
    assert_array_equal(worst_masks(records, 2), [5, 4])


def test_vessels_are_thin_and_lungs_are_not():
    vessel, lung = np.zeros((2, 200, 200), np.bool_)
    vessel[:, 50:53] = True
    lung[40:160, 30:90] = True
    assert is_thin(vessel)
    assert not is_thin(lung)
    assert not is_thin(np.zeros((20, 20), np.bool_))


def test_pretraining_has_errors_and_what_was_filled_in_at_each_ratio():
    count = 9
    records = xr.Dataset(
        {"masked_error": ("item", np.linspace(0.1, 0.5, count)), "mean_error": ("item", np.ones(count))},
        {"item": [f"secret{k}" for k in range(count)]},
    )

    def filled(some):
        hidden = np.zeros((some, 2, SIZE, SIZE), np.float32)
        hidden[..., :10] = 1
        image = np.random.default_rng(0).random((some, 2, 1, SIZE, SIZE), np.float32)
        return {
            "reconstruction": (("item", "ratio", "channel", "row", "column"), image),
            "hidden": (("item", "ratio", "row", "column"), hidden),
        }

    again, calls = asked(filled, {"ratio": [0.75, 0.9]})
    drawn = figures(short(mae_pretrain_vit_s()), records, Pictures(np.arange(count)), again)
    assert set(drawn) == {"errors", "reconstructions"}
    assert calls[0][0][0] == 8  # the largest error first
    text = texts(drawn)["reconstructions"]
    assert "75 % hidden" in text
    assert "90 % hidden" in text


def test_a_model_that_fills_nothing_in_has_errors_alone():
    records = xr.Dataset({"masked_error": ("item", [0.1]), "mean_error": ("item", [0.2])}, {"item": ["a"]})
    again, _ = asked(lambda count: {"masked_error": ("item", np.zeros(count))})
    assert set(figures(short(mae_pretrain_vit_s()), records, Pictures(np.arange(1)), again)) == {"errors"}


def test_drawing_leaves_matplotlibs_settings_and_pyplot_alone():
    before = dict(mpl.rcParams)
    records, items = masks_case()
    figures(short(vm_unet()), records, items, None)
    assert dict(mpl.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
