"""Outputs become records: in the items' order, with who is in them, and at the size of their files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import xarray as xr

from armillary.domains.medical.assemble import assemble, resized
from armillary.domains.medical.metrics import metrics
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.recipes import chase, mae_pretrain_vit_s, pneumoniamnist, simulated
from armillary.domains.medical.settings import MedicalRun


class Some:
    """Items of which only the columns matter."""

    problems: Sequence[Any] = ()

    def __init__(self, targets: np.ndarray, chunk: xr.Dataset | None = None, spacing: Any = (np.nan, np.nan)) -> None:
        self.targets, self.chunk = targets.astype(np.float32), chunk
        count = len(targets)
        self.ids = np.char.add("image ", np.arange(count).astype(np.str_))
        self.groups = np.char.add("patient ", (np.arange(count) // 2).astype(np.str_))
        self.known: Mapping[str, np.ndarray] = {
            "sex": np.array(["F", "M", ""] * count)[:count],
            "view": np.array(["PA", "AP"] * count)[:count],
            "age_years": np.linspace(20, 80, count).astype(np.float32),
            "spacing_mm": np.tile(np.array(spacing, np.float32), (count, 1)),
        }

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        raise AssertionError("records need no image")

    def collate(self, items: Sequence[Any]) -> Any:
        raise AssertionError("records need no image")


def named(config: MedicalRun, *names: str) -> MedicalRun:
    return config.model_copy(update={"data": config.data.model_copy(update={"names": names})})


LABELS, CLASSES = named(simulated(), "Mass", "Edema"), pneumoniamnist()
MASKS = named(chase(), "vessel", "disc")


def shuffled(**outputs: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Outputs in two batches out of order."""
    count = len(next(iter(outputs.values())))
    order = np.random.default_rng(0).permutation(count)
    return [{**{k: v[part] for k, v in outputs.items()}, "index": part} for part in np.array_split(order, 2)]


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).random(shape).astype(np.float32)


def target(count: int) -> np.ndarray:
    return np.where(drawn(count, 2) < 0.2, np.nan, drawn(count, 2) < 0.5)


def test_records_of_labels_come_in_the_order_of_the_items_with_patient_sex_age_and_view():
    items, probability = Some(target(7)), drawn(7, 2)
    limit = np.tile(np.array([0.3, 0.6], np.float32), (7, 1))
    records = assemble(LABELS, items, shuffled(probability=probability, threshold=limit))
    np.testing.assert_array_equal(records["probability"], probability)
    assert records["probability"].dims == ("item", "label")
    np.testing.assert_array_equal(records["target"], items.targets)
    np.testing.assert_array_equal(records["present"], probability >= limit)
    assert records["threshold"].values == pytest.approx([0.3, 0.6])
    assert records["item"].values.tolist() == items.ids.tolist()
    assert records["label"].values.tolist() == ["Mass", "Edema"]
    assert records["group"].values.tolist() == items.groups.tolist()
    for name in ("sex", "view", "age_years"):
        assert records[name].values.tolist() == items.known[name].tolist()
    assert records["age_years"].attrs["units"] == "years"
    assert records.attrs["notice"] == NOTICE
    assert {"uncertainty", "map"}.isdisjoint(records)


def test_classes_also_tell_the_place_of_the_true_one():
    known = np.array([[0, 1], [1, 0], [np.nan, np.nan]])
    records = assemble(CLASSES, Some(known), shuffled(probability=drawn(3, 2)))
    assert records["truth"].values.tolist() == [1, 0, -1]
    assert records["truth"].dtype == np.int64
    assert records["probability"].dims == ("item", "class")


def test_uncertainty_and_maps_come_along():
    outputs = shuffled(probability=drawn(4, 2), uncertainty=drawn(4, 2) / 9, map=drawn(4, 2, 5, 6))
    records = assemble(LABELS, Some(target(4)), outputs)
    np.testing.assert_array_equal(records["uncertainty"], drawn(4, 2) / 9)
    np.testing.assert_array_equal(records["map"], drawn(4, 2, 5, 6))
    assert records["map"].dims == ("item", "label", "row", "column")


def test_scores_of_masks_say_how_far_their_pixels_are_apart():
    scores = {name: drawn(5, 2) for name in ("dice", "iou", "hd95", "volume_share")}
    records = assemble(MASKS, Some(np.zeros((5, 0)), spacing=(0.5, 0.25)), shuffled(**scores))
    for name, values in scores.items():
        np.testing.assert_array_equal(records[name], values)
        assert records[name].dims == ("item", "structure")
    assert records["spacing_mm"].values[0].tolist() == [0.5, 0.25]
    assert records["axis"].values.tolist() == ["row", "column"]
    assert metrics(MASKS)["hd95_disc"].value(records, np.ones(5)) == pytest.approx(drawn(5, 2)[:, 1].mean())


def test_masks_of_several_sizes_are_filled_up_with_nan():
    parts = [drawn(1, 2, 3, 4), drawn(1, 2, 5, 2)]
    outputs = [{"probability": part, "index": np.array([1 - place])} for place, part in enumerate(parts)]
    records = assemble(MASKS, Some(np.zeros((2, 0))), outputs)
    assert records["probability"].shape == (2, 2, 5, 4)
    np.testing.assert_array_equal(records["probability"].values[1, :, :3, :4], parts[0][0])
    np.testing.assert_array_equal(records["probability"].values[0, :, :5, :2], parts[1][0])
    assert np.isnan(records["probability"].values[1, :, 3:]).all()


def test_errors_of_pretraining_have_one_number_an_item():
    records = assemble(
        mae_pretrain_vit_s(), Some(np.zeros((4, 0))), shuffled(masked_error=drawn(4), mean_error=drawn(4))
    )
    assert records["masked_error"].dims == ("item",)
    assert dict(records.sizes) == {"item": 4}


def chunk(count: int, *size: int) -> xr.Dataset:
    """Files as they were read."""
    space = ("plane", "row", "column")[-len(size) :]
    return xr.Dataset(
        {
            "image": (("item", "channel", *space), drawn(count, 1, *size)),
            "spacing_mm": (("item", "axis"), np.full((count, len(size)), 0.5, np.float32)),
            "file": ("item", np.char.add("/data/", np.arange(count).astype(np.str_))),
        },
        {"item": np.char.add("image ", np.arange(count).astype(np.str_)), "axis": list(space)},
        {"kind": "nifti", "affine": list(range(16))},
    )


def test_masks_of_files_have_the_files_size_and_all_that_was_read_beside_the_pixels():
    read = chunk(3, 12, 8)
    items = Some(np.zeros((3, 0)), read, (0.5, 0.5))
    records = assemble(MASKS, items, shuffled(probability=np.full((3, 2, 6, 6), 0.25, np.float32)))
    assert records["probability"].shape == (3, 2, 12, 8)
    assert records["probability"].values == pytest.approx(0.25)
    assert records["file"].values.tolist() == read["file"].values.tolist()
    assert records["spacing_mm"].values.tolist() == read["spacing_mm"].values.tolist()
    assert records.attrs["affine"] == list(range(16))
    assert records.attrs["recipe"] == MASKS.recipe
    assert "image" not in records


def test_a_file_that_could_not_be_used_leaves_the_others_their_own_names():
    read = chunk(4, 6, 6).isel(item=[0, 3, 1])
    items = Some(target(2), read)
    records = assemble(LABELS, items, shuffled(probability=drawn(2, 2)))
    assert records["file"].values.tolist() == ["/data/0", "/data/1"]


def test_a_volume_of_one_plane_that_was_read_as_a_picture_keeps_to_it():
    items = Some(np.zeros((1, 0)), chunk(1, 1, 12, 8), (0.5, 0.5))
    records = assemble(MASKS, items, [{"probability": drawn(1, 2, 6, 6), "index": np.array([0])}])
    assert records["probability"].shape == (1, 2, 12, 8)
    assert records["axis"].values.tolist() == ["row", "column"]


def test_records_of_no_items_are_records():
    records = assemble(LABELS, Some(np.zeros((0, 2))), [])
    assert records.sizes["item"] == 0
    assert records["target"].shape == (0, 2)


def test_maps_are_stretched_about_the_centres_of_pixels():
    line = np.array([0.0, 1.0], np.float32).reshape(1, 1, 1, 2)
    assert resized(line, (1, 4))[0, 0, 0] == pytest.approx([0.0, 0.25, 0.75, 1.0])
    assert resized(drawn(1, 2, 3, 4, 5), (6, 8, 5)).shape == (1, 2, 6, 8, 5)


def test_records_can_be_written_and_read_again(tmp_path):
    limit = np.full((3, 2), 0.5, np.float32)
    records = assemble(LABELS, Some(target(3)), shuffled(probability=drawn(3, 2), threshold=limit))
    records.to_netcdf(tmp_path / "records.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "records.nc") as again:
        for name in records.data_vars:
            np.testing.assert_array_equal(again[name].values, records[name].values)
