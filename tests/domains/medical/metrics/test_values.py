"""Metric values worked by hand, and by an independent implementation."""

import math

import numpy as np
import pytest
import sklearn.metrics as sk

from armillary.domains.medical.metrics import metrics
from armillary.domains.medical.metrics.metric_set import slug
from armillary.domains.medical.recipes import simulated

NAN = float("nan")


def value(config, name: str, records, weight=None) -> float:
    return metrics(config)[name].value(records, np.ones(records.sizes["item"]) if weight is None else weight)


def test_areas_agree_with_scikit_learn_under_weights_ties_and_unknown_labels(labels, records):
    weight = np.random.default_rng(9).integers(0, 4, 120).astype(np.float64)
    target, score = records["target"].values, records["probability"].values
    areas, precisions = [], []
    for k, name in enumerate(labels.data.names):
        known = ~np.isnan(target[:, k])
        arguments = target[known, k], score[known, k]
        areas.append(sk.roc_auc_score(*arguments, sample_weight=weight[known]))
        precisions.append(sk.average_precision_score(*arguments, sample_weight=weight[known]))
        assert value(labels, f"auroc_{name}", records, weight) == pytest.approx(areas[-1])
    assert value(labels, "auroc", records, weight) == pytest.approx(np.mean(areas))
    assert value(labels, "pr_auc", records, weight) == pytest.approx(np.mean(precisions))


def test_the_log_loss_is_the_mean_over_known_labels_by_hand(labels, make):
    probability = np.array([[0.5, 0.9, 0.2], [0.25, 0.5, 0.5]])
    target = np.array([[1, 0, NAN], [1, NAN, 0]])
    expected = -(math.log(0.5) + math.log(0.1) + math.log(0.25) + math.log(0.5)) / 4
    assert value(labels, "log_loss", make(probability, target)) == pytest.approx(expected, rel=1e-6)


def test_a_certain_mistake_costs_much_but_not_infinitely(labels, make):
    records = make(np.array([[0.0, 1.0, 0.0]]), np.array([[1, NAN, NAN]]))
    assert value(labels, "log_loss", records) == pytest.approx(-math.log(1e-15))


def test_a_label_without_positives_is_left_out_of_the_mean_and_seen_to_be(labels, make):
    probability = np.array([[0.9, 0.2, 0.5], [0.1, 0.4, 0.5], [0.8, 0.3, 0.5]])
    target = np.array([[1, 0, 0], [0, 1, 0], [0, 0, NAN]])
    records = make(probability, target)
    assert value(labels, "labels_judged", records) == 2
    assert math.isnan(value(labels, "auroc_Hernia", records))
    assert value(labels, "auroc_Edema", records) == 1.0
    assert value(labels, "auroc", records) == 1.0
    # Where a resample has no positive of a label either, it leaves that one out, too.
    weight = np.array([1.0, 0.0, 2.0])
    assert value(labels, "labels_judged", records, weight) == 1
    assert math.isnan(value(labels, "auroc_Mass", records, weight))
    assert value(labels, "auroc", records, weight) == 1.0


def test_without_any_label_to_judge_the_mean_is_nan(labels, make):
    records = make(np.full((3, 3), 0.5), np.zeros((3, 3)))
    assert math.isnan(value(labels, "auroc", records))
    assert value(labels, "labels_judged", records) == 0


def test_equal_scores_have_an_area_of_one_half(labels, make):
    records = make(np.full((4, 3), 0.5), np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 1, 0]]))
    assert value(labels, "auroc", records) == 0.5


def test_a_subgroup_is_judged_by_its_own_items(labels, make):
    probability = np.array([[0.9], [0.1], [0.2], [0.8]]).repeat(3, 1)
    target = np.array([[1], [0], [1], [0]]).repeat(3, 1)
    records = make(
        probability, target, sex=["F", "F", "M", "M"], view=["pa", "PA", "AP", "AP"],
        age_years=np.array([39.9, 20.0, 40.0, 59.9], np.float32),
    )  # fmt: skip
    for good in ("auroc_F", "auroc_PA", "auroc_below_40"):
        assert value(labels, good, records) == 1.0
    for bad in ("auroc_M", "auroc_AP", "auroc_40_to_60"):
        assert value(labels, bad, records) == 0.0
    assert math.isnan(value(labels, "auroc_from_60", records))


def test_records_that_do_not_tell_have_no_subgroups(labels, make):
    records = make(np.random.default_rng(0).random((4, 3)), np.eye(4, 3))
    for name in ("auroc_F", "auroc_M", "auroc_below_40", "auroc_from_60", "auroc_PA"):
        assert math.isnan(value(labels, name, records))


def test_decisions_at_the_threshold_by_hand(labels, make):
    # Called at 0.4: 1 1 0 0 of truth 1 0 1 0; unknown fifth.
    probability = np.array([[0.4], [0.9], [0.39], [0.1], [0.9]]).repeat(3, 1)
    target = np.array([[1], [0], [1], [0], [NAN]]).repeat(3, 1)
    target[:, 2] = [0, 0, 0, 0, 0]
    records = make(probability, target).assign(threshold=("label", np.full(3, 0.4, np.float32)))
    assert value(labels, "accuracy", records) == pytest.approx((0.5 + 0.5 + 0.4) / 3)
    assert value(labels, "sensitivity", records) == pytest.approx(0.5)
    assert value(labels, "specificity", records) == pytest.approx((0.5 + 0.5 + 0.4) / 3)


def test_without_a_threshold_one_half_decides(labels, make):
    records = make(np.array([[0.5, 0.4, 0.6]]), np.array([[1, 0, 0]]))
    assert value(labels, "accuracy", records) == pytest.approx(2 / 3)


def test_calibration_error_of_labels_by_hand(labels, make):
    # Edema: 0.8 twice, once there, and 0.1, not there. Mass is unknown. Hernia is perfect.
    probability = np.array([[0.8, 0.5, 1.0], [0.8, 0.5, 0.0], [0.1, 0.5, 1.0]])
    target = np.array([[1, NAN, 1], [0, NAN, 0], [0, NAN, 1]])
    expected = (2 * 0.3 + 0.1) / 3
    assert value(labels, "calibration_error", make(probability, target)) == pytest.approx(expected / 2, rel=1e-6)


def test_a_probability_that_is_not_finite_is_an_error_that_names_the_image(labels, records):
    records["target"][42, 1] = 1.0
    records["probability"][42, 1] = np.nan
    with pytest.raises(ValueError, match="item 'image 42' are not finite"):
        value(labels, "auroc", records)


def test_a_probability_that_is_not_finite_where_nothing_is_known_does_not_matter(labels, make):
    records = make(np.array([[0.9, NAN, 0.5], [0.1, 0.5, 0.5]]), np.array([[1, NAN, 0], [0, 1, 0]]))
    assert value(labels, "auroc", records) == 1.0


def test_classes_agree_with_scikit_learn(classes, class_records):
    weight = np.random.default_rng(9).integers(1, 4, 90).astype(np.float64)
    known = class_records["truth"].values >= 0
    truth, chosen = class_records["truth"].values[known], weight[known]
    probability = class_records["probability"].values[known].astype(np.float64)
    expected = {
        "auroc": sk.roc_auc_score(np.eye(3)[truth], probability, average="macro", sample_weight=chosen),
        "pr_auc": sk.average_precision_score(np.eye(3)[truth], probability, average="macro", sample_weight=chosen),
        "accuracy": sk.accuracy_score(truth, probability.argmax(1), sample_weight=chosen),
        "macro_f1": sk.f1_score(truth, probability.argmax(1), average="macro", sample_weight=chosen),
        "log_loss": -np.average(np.log(probability[np.arange(80), truth]), weights=chosen),
    }
    for name, wanted in expected.items():
        assert value(classes, name, class_records, weight) == pytest.approx(wanted, rel=1e-6), name


def test_of_two_classes_the_area_is_the_usual_one(classes, make):
    rng = np.random.default_rng(1)
    truth, score = rng.integers(0, 2, 50), rng.random(50).round(2)
    records = make(np.stack([1 - score, score], 1), np.eye(2)[truth], "class")
    assert value(classes, "auroc", records) == pytest.approx(sk.roc_auc_score(truth, score))


def test_dice_is_the_mean_over_structures_of_the_means_over_images_that_have_them(masks, mask_records):
    dice = mask_records["dice"].values
    lung, heart = dice[5:, 0].mean(), dice[:, 1].mean()
    assert value(masks, "dice_left_lung", mask_records) == pytest.approx(lung)
    assert value(masks, "dice_heart", mask_records) == pytest.approx(heart)
    assert value(masks, "dice", mask_records) == pytest.approx((lung + heart) / 2)


def test_distances_in_millimetres_and_in_pixels_are_never_mixed(masks, mask_records):
    hd95, known = mask_records["hd95"].values[:, 1], np.isfinite(mask_records["spacing_mm"].values[:, 0])
    assert value(masks, "hd95_heart", mask_records) == pytest.approx(hd95[known].mean())
    assert value(masks, "hd95_px_heart", mask_records) == pytest.approx(hd95[~known].mean())
    chosen = metrics(masks)
    assert (chosen["hd95_heart"].unit, chosen["hd95_px_heart"].unit) == ("mm", "px")
    untold = mask_records.drop_vars("spacing_mm")
    assert math.isnan(value(masks, "hd95_heart", untold))
    assert value(masks, "hd95_px_heart", untold) == pytest.approx(hd95.mean())


def test_scores_that_are_absent_are_nan(masks, mask_records):
    assert math.isnan(value(masks, "iou", mask_records.drop_vars("iou")))


def test_the_share_of_errors_is_that_of_their_sums(pretrain, pretrain_records):
    model, plain = (pretrain_records[name].values.astype(np.float64) for name in ("masked_error", "mean_error"))
    assert value(pretrain, "masked_error", pretrain_records) == pytest.approx(model.mean())
    assert value(pretrain, "error_share", pretrain_records) == pytest.approx(model.sum() / plain.sum())


def test_names_of_labels_become_names_of_metrics():
    assert slug("Pleural_Thickening") == "Pleural_Thickening"
    assert slug("left lung (upper)") == "left_lung_upper"
    config = simulated()
    config = config.model_copy(update={"data": config.data.model_copy(update={"names": ("F", "b")})})
    names = [metric.name for metric in metrics(config).metrics]
    assert "auroc_F" in names
    assert "auroc_sex_F" in names
