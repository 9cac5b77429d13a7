"""From a card's folder to the items of a split, and from chunks of files to items to predict."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from armillary.core.domain import SPLITS
from armillary.domains.medical.data import datasets, items
from armillary.domains.medical.items import ImageItems
from armillary.domains.medical.settings import MedicalData, MedicalRun
from armillary.domains.medical.systems.settings import MAESettings, UNetSettings, ViTSettings

RNG = np.random.default_rng(0)


def configured(**data: object) -> MedicalRun:
    model = {"masks": UNetSettings(), "pretrain": MAESettings()}.get(str(data["task"]), ViTSettings())
    return MedicalRun(recipe="medical/x", data=MedicalData(**data), model=model)  # pyright: ignore[reportArgumentType]


def chunk(image: np.ndarray, **variables: object) -> xr.Dataset:
    space = ("plane", "row", "column")[-(image.ndim - 2) :]
    names = [f"a{number}" for number in range(len(image))]
    return xr.Dataset({"image": (("item", "channel", *space), image), **variables}, {"item": names})


def test_items_of_a_chunk_keep_their_names_and_spacing():
    image = RNG.random((2, 1, 20, 24)).astype(np.float32)
    spacing = (("item", "axis"), np.array([[1, 2], [np.nan, np.nan]], np.float32))
    found = items(
        configured(card="c", task="labels", names=("a", "b"), size=(10, 12)), chunk(image, spacing_mm=spacing)
    )
    assert isinstance(found, ImageItems)
    assert found.ids.tolist() == found.groups.tolist() == ["a0", "a1"]
    assert found[(0, 0)]["image"].shape == (1, 10, 12)
    np.testing.assert_allclose(found[(0, 0)]["spacing"], [2, 4])
    assert np.isnan(found[(0, 1)]["spacing"]).all()
    assert np.isnan(found.targets).all()
    assert found.targets.shape == (2, 2)
    assert found.chunk is not None


def test_targets_of_a_chunk_are_kept_where_it_has_them():
    image = RNG.random((2, 1, 8, 8)).astype(np.float32)
    target = (("item", "label"), np.array([[1, 0], [np.nan, 1]], np.float32))
    found = items(configured(card="c", task="labels", names=("a", "b")), chunk(image, target=target))
    assert isinstance(found, ImageItems)
    np.testing.assert_array_equal(found.targets, target[1])


def test_images_for_masks_keep_their_own_size():
    image = RNG.random((1, 3, 8, 9)).astype(np.float32)
    item = items(configured(card="c", task="masks", names=("a",), size=None, channels=3), chunk(image))[(0, 0)]
    np.testing.assert_allclose(item["image"], image[0], atol=1e-5)
    assert "mask" not in item


def test_images_of_another_rank_are_problems_of_the_items():
    image = RNG.random((1, 1, 5, 8, 9)).astype(np.float32)
    found = items(configured(card="c", task="labels", names=("a",)), chunk(image))
    assert len(found) == 0
    assert "is a volume" in str(found.problems[0])


@pytest.mark.real
@pytest.mark.parametrize(
    ("card", "task", "names", "counts"),
    [
        ("nih_cxr14_mini", "labels", ("Effusion", "Mass"), (569, 71, 181)),
        ("pneumoniamnist", "classes", ("normal", "pneumonia"), (4708, 524, 312)),
        ("hannover_covid_cxr", "pretrain", (), (165, 16, 28)),
        ("covid_cxr_structures", "masks", ("left_lung", "right_lung"), (22, 5, 8)),
    ],
)
def test_real_splits_are_whole_and_share_no_patient(
    card: str, task: str, names: tuple[str, ...], counts: tuple[int, int, int], data_root: Path
):
    folder = data_root / "medical" / card
    if not folder.is_dir():
        pytest.skip(f"no {card} below ARMILLARY_DATA")
    config = configured(card=card, task=task, names=names, size=(32, 32))
    parts = [datasets(config, {card: folder}, split) for split in SPLITS]
    assert tuple(map(len, parts)) == counts
    for part in parts:
        item = part[(0, len(part) - 1)]
        assert item["image"].shape == (1, 32, 32)
        assert 0 <= item["image"].min() < item["image"].max() <= 1
    if card != "pneumoniamnist":
        groups = [set(map(str, part.groups)) for part in parts]
        assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    if task == "masks":
        shares = [float(np.nanmean(parts[0][(0, index)]["mask"])) for index in range(len(parts[0]))]
        assert 0.1 < np.mean(shares) < 0.3


@pytest.mark.real
def test_real_vessels_are_cut_in_parts(data_root: Path):
    folder = data_root / "medical" / "chase_db1"
    if not folder.is_dir():
        pytest.skip("no chase_db1 below ARMILLARY_DATA")
    config = configured(
        card="chase_db1", task="masks", names=("vessel",), size=None, channels=3, patch=(96, 96), patches_per_image=4
    )
    train, test = (datasets(config, {"chase_db1": folder}, split) for split in ("train", "test"))
    assert train[(1, 0)]["image"].shape == (3, 96, 96)
    assert len(test) == 4
    assert test[(0, 0)]["mask"].shape == (1, 960, 999)
