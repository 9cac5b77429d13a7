"""Items by key: each a function of (seed, epoch, index), alone and with others, read or made when asked for."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float32, Int64, UInt64
from torch.utils.data import DataLoader

from armillary.domains.modulation.data import datasets
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.items import FrameItems, GeneratedItems
from armillary.domains.modulation.readers.rml2018 import Hdf5Frames, load_rml2018
from armillary.domains.modulation.recipes import clst_rml2016a, clst_rml2018
from armillary.domains.modulation.settings import AugmentSettings, GeneratorSettings, ModulationRun
from armillary.domains.modulation.simulate import simulate

CLASSES = ("QPSK", "AM-SSB")
PLAIN = AugmentSettings()
ALL = AugmentSettings(rotate=True, shift=True, conjugate=True, reverse=True, noise=0.5)


def configured(**data: object) -> ModulationRun:
    run = clst_rml2016a()
    return run.model_copy(update={"data": run.data.model_copy(update={"classes": CLASSES, **data})})


def frames(number: int = 12, length: int = 128) -> Frames:
    rng = np.random.default_rng(0)
    ids = np.array([f"f{i:02d}" for i in range(number)])
    return Frames(
        rng.standard_normal((number, 2, length)).astype(np.float32),
        np.array(CLASSES)[np.arange(number) % 2],
        np.linspace(-20, 18, number).astype(np.float32),
        ids,
        ids,
        np.zeros(number, np.int64),
        sample_rate_hz=200e3,
    )


def read_items(augment: AugmentSettings = ALL, seed: int = 0) -> FrameItems:
    config = configured(augment=augment).model_copy(update={"seed": seed})
    everything = frames()
    return FrameItems(config, everything, np.arange(12, dtype=np.int64) % 2, np.arange(2, 12, dtype=np.int64))


class Made:
    """A generator whose frames tell what was asked for: the place, the label, and the seed's numbers."""

    classes = CLASSES

    def __call__(
        self, place: Int64[np.ndarray, " n"], snr_db: Float32[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> Float32[np.ndarray, "n 2 l"]:
        first = np.stack([place, snr_db, (seeds >> np.uint64(40)).astype(np.float64)], 1)
        return np.tile(first[:, None, :], (1, 2, 43))[:, :, :128].astype(np.float32)


def made_items(fresh: bool = True, split: str = "train", augment: AugmentSettings = PLAIN, **data: object):
    settings = GeneratorSettings(train_per_key=3, validation_per_key=2, fresh=fresh)
    return GeneratedItems(configured(augment=augment, **data), Made(), split, 3, settings)


def same(one: dict, other: dict) -> bool:
    return all(np.array_equal(np.asarray(one[name]), np.asarray(other[name]), equal_nan=True) for name in one)


@pytest.mark.parametrize(
    "items", [read_items(), read_items(PLAIN), made_items(augment=ALL)], ids=["read", "plain", "made"]
)
def test_several_keys_at_once_give_what_each_gives_alone(items: FrameItems | GeneratedItems):
    keys = [(1, 4), (0, 4), (2, 0), (1, 9), (2, 4), (1, 4)]
    together = items.__getitems__(keys)
    assert all(same(items[key], item) for key, item in zip(keys, together, strict=True))
    assert all(same(one, other) for one, other in zip(items.__getitems__(keys[::-1]), together[::-1], strict=True))


def test_frames_are_changed_in_training_epochs_only_and_otherwise_in_each():
    items = read_items()
    plain = items.iq(np.arange(10, dtype=np.int64))
    np.testing.assert_array_equal([items[0, index]["iq"] for index in range(10)], plain)
    first, second = (np.array([items[epoch, index]["iq"] for index in range(10)]) for epoch in (1, 2))
    assert (np.abs(first - plain).max((1, 2)) > 1e-3).all()
    assert (np.abs(second - first).max((1, 2)) > 1e-3).all()


def test_another_seed_changes_frames_otherwise():
    assert not np.array_equal(read_items(seed=0)[1, 3]["iq"], read_items(seed=1)[1, 3]["iq"])
    assert same(read_items(seed=0)[0, 3], read_items(seed=1)[0, 3])


def test_without_augmentation_every_epoch_is_the_same():
    items = read_items(PLAIN)
    assert same(items[0, 5], items[7, 5])


def test_one_sideband_is_never_mirrored():
    """Mirroring alone, over many epochs: QPSK changes in every second one, AM-SSB never."""
    items = read_items(AugmentSettings(conjugate=True))
    changed = {
        items.class_names[items.targets[index]]: np.mean(
            [not np.array_equal(items[epoch, index]["iq"], items[0, index]["iq"]) for epoch in range(1, 60)]
        )
        for index in (0, 1)
    }
    assert changed["AM-SSB"] == 0
    assert 0.25 < changed["QPSK"] < 0.75


def test_an_item_has_its_frame_class_snr_and_place():
    items = read_items(PLAIN)
    item = items[0, 3]
    np.testing.assert_array_equal(item["iq"], frames().iq[5])
    assert (item["target"], item["index"]) == (1, 3)
    assert item["snr_db"] == frames().snr_db[5]
    assert items.ids[3] == "f05"


def test_a_selection_keeps_its_frames_and_counts_anew():
    part = read_items(PLAIN).select(np.array([7, 2]))
    assert part.ids.tolist() == ["f09", "f04"]
    assert len(part) == 2
    np.testing.assert_array_equal(part[0, 1]["iq"], frames().iq[4])
    assert part[0, 1]["index"] == 1


def test_a_batch_has_the_types_that_models_expect():
    items = read_items()
    batch = items.collate(items.__getitems__([(1, 0), (1, 1), (0, 2)]))
    assert {name: (tuple(part.shape), part.dtype) for name, part in batch.items()} == {
        "iq": ((3, 2, 128), torch.float32),
        "snr_db": ((3,), torch.float32),
        "target": ((3,), torch.int64),
        "index": ((3,), torch.int64),
    }


def test_generated_items_change_from_epoch_to_epoch_when_fresh_and_stay_otherwise():
    fresh, fixed = made_items(fresh=True), made_items(fresh=False)
    for index in range(len(fresh)):
        assert not same(fresh[1, index], fresh[2, index])
        assert same(fixed[1, index], fixed[2, index])
        assert same(fixed[0, index], fresh[0, index])
        assert fresh[1, index]["target"] == fresh[2, index]["target"]
        assert fresh[1, index]["snr_db"] == fresh[2, index]["snr_db"]


def test_generated_validation_is_not_training_and_is_fixed():
    train, validation = made_items(), made_items(split="validation")
    assert not same(train[0, 0], validation[0, 0])
    indices = np.arange(len(validation), dtype=np.int64)
    np.testing.assert_array_equal(validation.iq(indices), validation.iq(indices))
    np.testing.assert_array_equal(validation.iq(indices), [validation[0, index]["iq"] for index in indices.tolist()])


def test_generated_items_hold_so_many_of_each_class_and_label():
    items = made_items(snr_db=(-4.0, 4.0))
    keys, counts = np.unique(np.stack([items.targets, items.snr_db]), axis=1, return_counts=True)
    assert set(keys[1]) == {-4, -2, 0, 2, 4}
    assert keys.shape[1] == 10
    assert set(counts) == {3}
    assert len(set(items.ids)) == len(items) == 30
    asked = items.iq(np.arange(30, dtype=np.int64))
    np.testing.assert_array_equal(asked[:, 0, 0], items.targets)
    np.testing.assert_array_equal(asked[:, 0, 1], items.snr_db)


class _Keyed(torch.utils.data.Dataset):
    """Training keys in order, as a loader asks for them."""

    def __init__(self, items: FrameItems | GeneratedItems) -> None:
        self.items = items

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict:
        return self.items[1 + index // 6, index % 6]


def test_workers_give_the_same_frames():
    config = configured(generator=GeneratorSettings(train_per_key=1), augment=ALL)
    items = datasets(config, {}, "train")
    assert isinstance(items, GeneratedItems)
    alone, apart = (
        [batch["iq"] for batch in DataLoader(_Keyed(items), 4, num_workers=workers, collate_fn=items.collate)]
        for workers in (0, 2)
    )
    assert torch.equal(torch.cat(alone), torch.cat(apart))


def test_items_travel_to_a_worker():
    items = datasets(configured(generator=GeneratorSettings(train_per_key=1)), {}, "train")
    assert same(pickle.loads(pickle.dumps(items))[1, 3], items[1, 3])


def test_frames_on_disk_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = simulate("rml2018", tmp_path, 0, "twin")
    asked: list[int] = []
    plain = Hdf5Frames.unchecked

    def counted(self: Hdf5Frames, indices: np.ndarray) -> np.ndarray:
        asked.append(len(indices))
        return plain(self, indices)

    monkeypatch.setattr(Hdf5Frames, "unchecked", counted)
    run = clst_rml2018()
    items = datasets(run, {"rml2018": folder}, "train")
    assert isinstance(items, FrameItems)
    assert asked == []
    item = items[1, 4]
    assert asked == [1]
    everything = load_rml2018(folder / "GOLD_XYZ_OSC.0001_1024.hdf5", lambda error: None)
    place = everything.id.tolist().index(items.ids[4])
    np.testing.assert_array_equal(item["iq"], everything.iq[np.array([place])][0])
    assert pickle.loads(pickle.dumps(items))[1, 4]["target"] == item["target"]
