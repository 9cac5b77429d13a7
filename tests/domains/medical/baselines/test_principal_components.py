"""Principal components and logistic regressions: they learn, repeat themselves and keep to the domain's records."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armillary.domains.medical.baselines import baselines
from armillary.domains.medical.baselines.principal_components import PrincipalComponentsBaseline
from armillary.domains.medical.baselines.shrunk import shrunk, shrunk_pixels
from armillary.domains.medical.metrics import metrics
from armillary.domains.medical.recipes import CXR14, mae_pretrain_vit_s, pneumoniamnist, vit_s_cxr14
from armillary.domains.medical.settings import MedicalPredict, MedicalRun


def fitted(config: MedicalRun, train, validation) -> PrincipalComponentsBaseline:
    baseline = PrincipalComponentsBaseline(config)
    baseline.fit(train, validation)
    return baseline


def value(config: MedicalRun, records, name: str) -> float:
    return metrics(config)[name].value(records, np.ones(records.sizes["item"]))


def test_labels_that_show_in_the_pixels_are_found(labels: MedicalRun, lit):
    records = fitted(labels, lit(150, 0), lit(50, 1)).predict(lit(100, 2))
    assert value(labels, records, "auroc") > 0.9
    assert value(labels, records, "accuracy") > 0.75


def test_records_have_the_domains_variables_in_the_items_order(labels: MedicalRun, lit):
    items = lit(30, 2)
    records = fitted(labels, lit(60, 0), lit(20, 1)).predict(items)
    assert records["item"].values.tolist() == items.ids.tolist()
    np.testing.assert_array_equal(records["target"], items.targets)
    assert records["probability"].dtype == np.float32
    assert records["probability"].dims == ("item", "label")
    np.testing.assert_array_equal(records["present"], records["probability"].values >= records["threshold"].values)
    assert np.isfinite(value(labels, records, "log_loss"))


def test_classes_share_their_probability_and_one_that_was_never_seen_has_none(classes: MedicalRun, lit, pictures):
    def of_two(items):
        left = np.nan_to_num(items.targets[:, 0])
        return pictures(items.images, np.stack([left, 1 - left, np.zeros(len(left))], 1))

    records = fitted(classes, of_two(lit(80, 0)), of_two(lit(30, 1))).predict(of_two(lit(30, 2)))
    np.testing.assert_allclose(records["probability"].sum("class"), 1, atol=1e-5)
    assert (records["probability"].values[:, 2] == 0).all()
    assert value(classes, records, "accuracy") > 0.7


def test_a_label_with_one_positive_has_the_share_of_its_positives(labels: MedicalRun, lit):
    train = lit(50, 0)
    train.targets[:, 1] = 0
    train.targets[7, 1] = 1
    train.targets[:10, 0] = np.nan
    probability = fitted(labels, train, lit(20, 1)).predict(lit(10, 2))["probability"].values
    assert probability[:, 1] == pytest.approx(1 / 50)
    assert len(set(probability[:, 0])) == 10


def test_a_training_set_of_one_class_says_that_class(classes: MedicalRun, lit, pictures):
    train = pictures(lit(20, 0).images, np.eye(3)[[1] * 20])
    assert (fitted(classes, train, train).predict(train)["probability"].values == [0, 1, 0]).all()


def test_the_same_seed_gives_the_same_answer(labels: MedicalRun, lit):
    one, other = (fitted(labels, lit(60, 0), lit(20, 1)).predict(lit(10, 2)) for _ in range(2))
    np.testing.assert_array_equal(one["probability"], other["probability"])


def test_thresholds_are_chosen_as_the_run_says(labels: MedicalRun, lit):
    half, sensitive = (
        labels.model_copy(update={"predict": MedicalPredict(threshold=how, sensitivity=1.0)})
        for how in ("half", "sensitivity")
    )
    train, validation = lit(60, 0), lit(40, 1)
    assert (fitted(half, train, validation).predict(validation)["threshold"] == 0.5).all()
    records = fitted(sensitive, train, validation).predict(validation)
    assert value(sensitive, records, "sensitivity") == 1.0


def test_many_images_are_thinned_evenly(labels: MedicalRun, lit):
    baseline = PrincipalComponentsBaseline(labels)
    baseline.MOST = 20
    table, target = baseline._known(lit(50, 0))
    assert len(table) == len(target) == 17


def test_images_of_which_nothing_is_known_cannot_train(labels: MedicalRun, lit, pictures):
    unknown = pictures(lit(4, 0).images, np.full((4, 2), np.nan))
    with pytest.raises(ValueError, match=r"images with a known label, got 4 images without; check data\.names"):
        fitted(labels, unknown, lit(4, 1))
    with pytest.raises(ValueError, match=r"not fitted: call fit\(train, validation\) before predict"):
        PrincipalComponentsBaseline(labels).predict(unknown)


def test_no_items_give_no_records(labels: MedicalRun, lit, pictures):
    nothing = pictures([], np.zeros((0, 2)))
    assert fitted(labels, lit(30, 0), lit(20, 1)).predict(nothing).sizes["item"] == 0


def test_large_images_and_volumes_are_averaged_and_small_ones_left_alone(lit):
    assert shrunk(np.ones((1, 20, 300), np.float32)).shape == (1, 20, 64)
    assert shrunk(np.ones((2, 40, 20, 10), np.float32)).shape == (2, 16, 16, 10)
    squares = np.arange(128.0 * 128, dtype=np.float32).reshape(1, 128, 128)
    assert shrunk(squares)[0, 0, 0] == squares[0, :2, :2].mean()
    small = np.random.default_rng(0).random((1, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(shrunk(small), small)
    assert shrunk_pixels(lit(3, 0), np.array([0, 2])).shape == (2, 20 * 24)


def test_every_task_has_its_baselines(labels: MedicalRun, classes: MedicalRun, masks: MedicalRun):
    assert list(baselines(labels)) == list(baselines(classes)) == ["pca_logistic"]
    assert list(baselines(masks)) == ["atlas", "brightness"]
    assert baselines(mae_pretrain_vit_s()) == {}


@pytest.mark.real
def test_pneumonia_in_small_films_has_an_auroc_of_about_0_93(data_root: Path, pictures):
    path = data_root / "medical" / "pneumoniamnist" / "pneumoniamnist.npz"
    with np.load(path) as arrays:
        parts = [
            pictures(list(arrays[f"{name}_images"][:, None].astype(np.float32) / 255),
                     np.eye(2)[arrays[f"{name}_labels"][:, 0]])
            for name in ("train", "val", "test")
        ]  # fmt: skip
    config = pneumoniamnist()
    records = fitted(config, parts[0], parts[1]).predict(parts[2])
    assert value(config, records, "auroc") == pytest.approx(0.935, abs=0.01)
    assert value(config, records, "accuracy") == pytest.approx(0.85, abs=0.02)


@pytest.mark.real
def test_findings_of_ten_patients_have_a_mean_auroc_between_0_65_and_0_72(data_root: Path, named, pictures):
    folder = data_root / "medical" / "nih_cxr14_mini"
    with (folder / "Data_Entry_2017_mini.csv").open() as table:
        found = {row[0]: set(row[1].split("|")) for row in csv.reader(table)}

    def part(name: str):
        files = (folder / f"{name}_list.txt").read_text().split()
        images = [np.asarray(Image.open(folder / "images" / file), np.float32)[None] / 255 for file in files]
        return pictures(images, np.array([[label in found[file] for label in CXR14] for file in files]))

    config = named(vit_s_cxr14(), *CXR14)
    records = fitted(config, part("train"), part("val")).predict(part("test"))
    assert 0.65 < value(config, records, "auroc") < 0.72
    # One label has one positive in training, and is judged by its prevalence.
    assert value(config, records, "auroc_Hernia") == 0.5
    assert value(config, records, "labels_judged") == 14
