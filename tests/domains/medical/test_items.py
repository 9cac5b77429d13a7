"""Items by key: each a function of (seed, epoch, index), with masks where their image is, and problems by name."""

import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from armillary.core.errors import DataError
from armillary.core.testing.domains import same_items
from armillary.domains.medical import items as module
from armillary.domains.medical.items import ImageItems
from armillary.domains.medical.settings import AugmentSettings, MedicalData, MedicalRun
from armillary.domains.medical.sources import LoadedSource, NiftiMask, NiftiSource, RasterMask, RasterSource
from armillary.domains.medical.studies import Absent, Study
from armillary.domains.medical.systems.settings import MAESettings, UNetSettings, ViTSettings

RNG = np.random.default_rng(0)
ALL = AugmentSettings(crop=(0.5, 1.0), flip=True, rotate_deg=10, brightness=0.2, magnitude=5)


def labels(**data: object) -> MedicalRun:
    settings = {"card": "c", "task": "labels", "names": ("a", "b"), "size": (16, 16), **data}
    return MedicalRun(recipe="medical/x", data=MedicalData(**settings), model=ViTSettings())  # pyright: ignore[reportArgumentType]


def masks(**data: object) -> MedicalRun:
    settings = {"card": "c", "task": "masks", "names": ("a", "b"), "size": None, **data}
    return MedicalRun(recipe="medical/x", data=MedicalData(**settings), model=UNetSettings())  # pyright: ignore[reportArgumentType]


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def films(tmp_path: Path) -> list[Study]:
    """Four films of three patients at sizes of their own."""
    sizes = [(20, 24), (33, 30), (20, 24), (18, 18)]
    return [
        Study(
            f"f{number}",
            RasterSource(save(tmp_path / f"f{number}.png", RNG.integers(20, 255, size, np.uint8))),
            patient="pppq"[number],
            target=np.array([number % 2, np.nan], np.float32),
            sex="F" if number else "",
            age_years=50.0 + number,
            view="PA",
            spacing_mm=(0.5, 0.25),
        )
        for number, size in enumerate(sizes)
    ]


@pytest.fixture
def drawn(tmp_path: Path) -> list[Study]:
    """Two images with masks equal to them; the second structure of one was not drawn, of the other is not there."""
    studies: list[Study] = []
    for number, size in enumerate([(40, 48), (32, 60)]):
        inside = np.zeros(size, np.uint8)
        inside[8 : 20 + number, 10:26] = 255
        path = save(tmp_path / f"m{number}.png", inside)
        masks = (RasterMask(path), None if number else Absent())
        studies.append(Study(f"m{number}", RasterSource(path), masks=masks))
    return studies


def test_items_have_the_size_type_and_spacing_of_the_run(films: list[Study]):
    items = ImageItems(labels(), films)
    item = items[(0, 1)]
    assert (item["image"].shape, item["image"].dtype) == ((1, 16, 16), np.float32)
    np.testing.assert_array_equal(item["target"], films[1].target)
    np.testing.assert_allclose(item["spacing"], [0.5 * 33 / 16, 0.25 * 30 / 16])
    assert "mask" not in item
    assert items.groups.tolist() == ["p", "p", "p", "q"]
    assert items.known["sex"].tolist() == ["", "F", "F", "F"]
    assert items.known["age_years"].tolist() == [50, 51, 52, 53]
    assert items.sizes == [(20, 24), (33, 30), (20, 24), (18, 18)]
    assert items.targets.shape == (4, 2)


def test_grey_is_repeated_and_colour_is_weighed(tmp_path: Path):
    colour = RNG.integers(0, 255, (8, 8, 3), np.uint8)
    studies = [
        Study("c", RasterSource(save(tmp_path / "c.png", colour))),
        Study("g", RasterSource(save(tmp_path / "g.png", colour[..., 0]))),
    ]
    three = ImageItems(labels(size=(8, 8), channels=3), studies)
    np.testing.assert_allclose(three[(0, 0)]["image"], colour.transpose(2, 0, 1) / 255, atol=1e-6)
    np.testing.assert_allclose(three[(0, 1)]["image"], [colour[..., 0] / 255] * 3, atol=1e-6)
    one = ImageItems(labels(size=(8, 8)), studies)[(0, 0)]["image"][0]
    np.testing.assert_allclose(one, colour @ np.array([0.299, 0.587, 0.114]) / 255, atol=1e-4)


def test_an_item_depends_on_its_key_alone_whatever_is_kept(films: list[Study]):
    config = labels(augment=ALL)
    kept, bare = ImageItems(config, films, "train"), ImageItems(config, films, "train", cache_bytes=0)
    keys = [(epoch, index) for epoch in (0, 1, 2) for index in range(4)]
    first = {key: kept[key] for key in keys}
    for key in reversed(keys):
        assert same_items(first[key], kept[key])
        assert same_items(first[key], bare[key])
        assert same_items(first[key], pickle.loads(pickle.dumps(kept))[key])
    assert not same_items(first[(1, 0)], first[(2, 0)])
    other = ImageItems(config.model_copy(update={"seed": 7}), films, "train")
    assert same_items(other[(0, 0)], first[(0, 0)])
    assert not same_items(other[(1, 0)], first[(1, 0)])


def test_epoch_zero_is_plain(films: list[Study]):
    plain, changed = ImageItems(labels(), films), ImageItems(labels(augment=AugmentSettings(flip=True)), films, "train")
    assert same_items(plain[(0, 2)], changed[(0, 2)])


def test_random_crops_are_not_enlarged_where_the_image_has_the_pixels(films: list[Study]):
    items = ImageItems(labels(augment=AugmentSettings(crop=(0.25, 1.0))), films, "train")
    items[(1, 1)]
    packed = items._cache.get(1)
    assert packed is not None
    assert packed.grey.shape == (1, 32, 30)


def test_masks_go_with_their_images(drawn: list[Study]):
    items = ImageItems(masks(augment=AugmentSettings(flip=True, turn=True, rotate_deg=20, scale=0.1)), drawn, "train")
    for epoch in range(6):
        for index in range(2):
            item = items[(epoch, index)]
            image, mask = item["image"][0], item["mask"]
            assert mask.shape == (2, *image.shape)
            wrong = ((image > 0.9) & (mask[0] == 0)) | ((image < 0.1) & (mask[0] == 1))
            assert wrong.mean() < 0.005
            assert np.isnan(mask[1]).all() if index else (mask[1] == 0).all()


def test_training_cuts_random_parts_and_the_rest_sees_the_whole(drawn: list[Study]):
    config = masks(patch=(16, 12), patches_per_image=3, augment=AugmentSettings(rotate_deg=10))
    items = ImageItems(config, drawn, "train")
    assert (len(items), len(ImageItems(config, drawn))) == (6, 2)
    assert items.ids.tolist() == ["m0", "m1", "m0#1", "m1#1", "m0#2", "m1#2"]
    parts = [items[(1, index)] for index in range(6)]
    assert {part["image"].shape for part in parts} == {(1, 16, 12)}
    assert {part["mask"].shape for part in parts} == {(2, 16, 12)}
    assert len({part["image"].tobytes() for part in parts}) > 3
    assert items[(0, 3)]["image"].shape == (1, 32, 60)
    covered = [items[(epoch, 0)]["mask"][0].mean() for epoch in range(1, 30)]
    assert min(covered) < 0.2 < 0.6 < max(covered)


def test_a_part_larger_than_the_image_is_filled_up_with_black(drawn: list[Study]):
    item = ImageItems(masks(patch=(64, 64)), drawn, "train")[(1, 0)]
    assert item["image"].shape == (1, 64, 64)
    assert item["image"][0, 40:].max() == 0
    np.testing.assert_array_equal(item["image"][0], item["mask"][0])


def test_batches_are_padded_and_tell_where_images_end(drawn: list[Study], films: list[Study]):
    items = ImageItems(masks(), drawn)
    batch = items.collate([items[(0, 0)], items[(0, 1)]])
    assert batch["image"].shape == (2, 1, 40, 60)
    assert batch["mask"].shape == (2, 2, 40, 60)
    assert batch["shape"].tolist() == [[40, 48], [32, 60]]
    assert batch["index"].tolist() == [0, 1]
    assert batch["index"].dtype == batch["shape"].dtype == torch.int64
    assert batch["mask"][0, 0, :, 48:].abs().max() == 0
    items = ImageItems(labels(), films)
    batch = items.collate([items[(0, index)] for index in range(4)])
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "image": (4, 1, 16, 16), "target": (4, 2), "shape": (4, 2), "spacing": (4, 2), "index": (4,),
    }  # fmt: skip


def test_images_without_any_mask_have_none(films: list[Study]):
    assert "mask" not in ImageItems(masks(), films)[(0, 0)]
    data = MedicalData(card="c", task="pretrain", size=(16, 16))
    items = ImageItems(MedicalRun(recipe="medical/x", data=data, model=MAESettings()), films)
    assert set(items[(0, 0)]) == {"image", "spacing", "index"}


def test_what_headers_show_is_a_problem_from_the_start(films: list[Study], drawn: list[Study], tmp_path: Path):
    (tmp_path / "empty.png").write_bytes(b"")
    small = RasterMask(save(tmp_path / "small.png", np.zeros((5, 5), np.uint8)))
    cut = tmp_path / "cut.jpg"
    Image.fromarray(RNG.integers(0, 255, (64, 64), np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:1500])
    broken = [
        replace(films[0], id="cut", image=RasterSource(cut)),
        replace(films[0], id="gone", image=RasterSource(tmp_path / "gone.png")),
        replace(films[0], id="empty", image=RasterSource(tmp_path / "empty.png")),
    ]
    items = ImageItems(labels(), [*broken, *films])
    assert len(items) == 4
    assert [problem.item for problem in items.problems] == ["cut", "gone", "empty"]
    assert "gone.png" in str(items.problems[1])
    items = ImageItems(masks(), [replace(drawn[0], id="odd", masks=(small, None)), *drawn])
    assert items.ids.tolist() == ["m0", "m1"]
    assert "small.png[odd]: is a mask of 5 x 5 pixels, its image has 40 x 48" in str(items.problems[0])
    short = ImageItems(masks(), [replace(drawn[0], masks=(Absent(),)), drawn[1]])
    assert "has 1 masks; expected one for each of a, b" in str(short.problems[0])


def test_what_only_pixels_show_is_raised_with_the_file(films: list[Study], tmp_path: Path):
    path = tmp_path / "bad.png"
    Image.fromarray(RNG.integers(0, 255, (64, 64), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(bytes(data))
    items = ImageItems(labels(), [replace(films[0], id="bad", image=RasterSource(path)), films[1]])
    assert len(items) == 2
    with pytest.raises(DataError, match=r"bad\.png\[bad\]: cannot be read"):
        items[(0, 0)]
    assert items[(0, 1)]["index"] == 1


def test_values_out_of_range_and_odd_channels_are_refused(tmp_path: Path):
    bright = np.full((8, 8), 300.0, np.float32)
    two = LoadedSource(np.zeros((2, 8, 8), np.float32))
    items = ImageItems(labels(), [Study("b", RasterSource(save(tmp_path / "b.tif", bright))), Study("two", two)])
    with pytest.raises(DataError, match="floats from 0 to 300"):
        items[(0, 0)]
    with pytest.raises(DataError, match="has 2 channels"):
        items[(0, 1)]


def test_strange_images_are_warned_of_a_few_times(tmp_path: Path):
    studies = [Study(str(n), RasterSource(save(tmp_path / f"{n}.png", np.full((8, 8), n, np.uint8)))) for n in range(9)]
    items = ImageItems(labels(), studies)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index in range(9):
            items[(0, index)]
    assert len(caught) == module._TOLD
    assert "every pixel has the value" in str(caught[0].message)


def test_selected_items_keep_their_names_and_share_what_is_decoded(films: list[Study]):
    items = ImageItems(labels(), films)
    chosen = items.select(np.array([3, 1]))
    assert chosen.ids.tolist() == ["f3", "f1"]
    np.testing.assert_array_equal(chosen[(0, 0)]["image"], items[(0, 3)]["image"])
    np.testing.assert_array_equal(chosen.targets, items.targets[[3, 1]])
    assert items._cache.get(3) is not None


def volumes(folder: Path) -> list[Study]:
    """A volume with a mask on its grid, and one with a mask that lies elsewhere."""
    values = RNG.uniform(0, 1, (12, 14, 6)).astype(np.float32)
    affine, moved = np.diag([1.0, 2.0, 3.0, 1.0]), np.diag([1.0, 2.0, 3.0, 1.0])
    moved[0, 3] = 5
    for name, data, place in (("v", values, affine), ("m", values > 0.5, affine), ("far", values > 0.5, moved)):
        nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), place), folder / f"{name}.nii.gz")
    image = NiftiSource(folder / "v.nii.gz")
    return [
        Study("near", image, masks=(NiftiMask(folder / "m.nii.gz"), None)),
        Study("far", image, masks=(NiftiMask(folder / "far.nii.gz"), None)),
    ]


def test_volumes_come_whole_in_parts_or_resized(tmp_path: Path):
    studies = volumes(tmp_path)
    items = ImageItems(masks(patch=(4, 8, 8), augment=AugmentSettings(flip=True, rotate_deg=5)), studies, "train")
    assert items.ids.tolist() == ["near"]
    assert "lies 5 mm away from its image" in str(items.problems[0])
    assert items[(1, 0)]["mask"].shape == (2, 4, 8, 8)
    assert items[(0, 0)]["image"].shape == (1, 6, 14, 12)
    np.testing.assert_allclose(items[(0, 0)]["spacing"], [3, 2, 1])
    small = ImageItems(masks(size=(3, 7, 6)), studies)[(0, 0)]
    assert small["image"].shape == (1, 3, 7, 6)
    np.testing.assert_allclose(small["spacing"], [6, 4, 2])


def test_a_volume_is_no_picture_but_one_plane_is(tmp_path: Path):
    items = ImageItems(labels(), volumes(tmp_path))
    assert len(items) == 0
    assert "is a volume (planes, rows, columns) of 6 x 14 x 12, and the run reads a picture" in str(items.problems[0])
    flat = LoadedSource(RNG.random((1, 1, 8, 9)).astype(np.float32))
    items = ImageItems(labels(), [Study("flat", flat, spacing_mm=(5.0, 0.5, 0.5))])
    assert items[(0, 0)]["image"].shape == (1, 16, 16)
    np.testing.assert_allclose(items[(0, 0)]["spacing"], [0.25, 0.5 * 9 / 16])


def test_parts_of_images_that_are_normalised_by_themselves_bring_the_moments_of_the_whole(films: list[Study]):
    found = ImageItems(masks(patch=(8, 8), each_image=True), films, "train")
    whole = ImageItems(masks(), films, "test")
    for epoch in (0, 1):
        batch = found.collate([found[(epoch, index)] for index in range(2)])
        for row, index in zip(batch["moments"], range(2), strict=True):
            image = whole[(0, index)]["image"]
            np.testing.assert_allclose(row[0], image.mean((1, 2)), atol=1e-3)
            np.testing.assert_allclose(row[1], image.std((1, 2)), atol=1e-3)
    assert "moments" not in whole[(0, 0)]
