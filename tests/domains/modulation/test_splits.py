"""Splits inside each class and SNR, by group, with few labels, and the sentences that tell them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.domain import SPLITS
from armillary.core.errors import ConfigError
from armillary.domains.modulation.recipes import clst_rml2016a
from armillary.domains.modulation.settings import GeneratorSettings, ModulationData
from armillary.domains.modulation.splits import protocol, split_frames

DATA = ModulationData(card="x", classes=("a", "b"))


def frames(per_key: int, snrs: tuple[float, ...] = (-2.0, 0.0)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, SNR labels and groups of `per_key` lone frames of each class and SNR."""
    target = np.repeat(np.arange(2), per_key * len(snrs)).astype(np.int64)
    snr = np.tile(np.repeat(np.array(snrs, np.float32), per_key), 2)
    return target, snr, np.arange(len(target)).astype(np.str_)


@given(st.lists(st.tuples(st.integers(-1, 1), st.sampled_from([-2.0, 0.0, np.nan]), st.integers(0, 9)), max_size=80))
def test_every_used_frame_is_in_one_split_and_no_group_straddles_two(rows: list[tuple[int, float, int]]):
    target = np.array([row[0] for row in rows], np.int64)
    snr = np.array([row[1] for row in rows], np.float32)
    group = np.array([str(row[2]) for row in rows], np.str_)
    parts = split_frames(target, snr, group, DATA)
    joined = np.concatenate([parts[split] for split in SPLITS])
    assert sorted(joined.tolist()) == np.flatnonzero(target >= 0).tolist()
    held = [set(group[parts[split]]) for split in SPLITS]
    assert sum(map(len, held)) == len(set().union(*held))


def test_each_class_and_snr_gives_its_shares():
    target, snr, group = frames(80)
    parts = split_frames(target, snr, group, DATA)
    for split, count in zip(SPLITS, (48, 16, 16), strict=True):
        keys = target[parts[split]] * 10 + snr[parts[split]].astype(np.int64)
        assert np.unique(keys, return_counts=True)[1].tolist() == [count] * 4


def test_a_key_is_split_alike_whatever_other_keys_there_are():
    target, snr, group = frames(20)
    alone = np.flatnonzero((target == 1) & (snr == 0))
    whole = split_frames(target, snr, group, DATA)["test"]
    part = split_frames(target[alone], snr[alone], group[alone], DATA)["test"]
    assert np.intersect1d(whole, alone).tolist() == alone[part].tolist()


def test_another_seed_gives_another_split():
    one = split_frames(*frames(80), DATA)["test"]
    other = split_frames(*frames(80), DATA.model_copy(update={"split_seed": 1}))["test"]
    assert one.tolist() != other.tolist()


def test_an_snr_range_leaves_the_others_in_no_split():
    target, snr, group = frames(10)
    parts = split_frames(target, snr, group, DATA.model_copy(update={"snr_db": (0.0, 5.0)}))
    assert (snr[np.concatenate(list(parts.values()))] == 0).all()
    assert sum(map(len, parts.values())) == 20


def test_few_labels_keep_so_many_training_frames_of_each_key():
    target, snr, group = frames(50)
    full, few = (split_frames(target, snr, group, DATA.model_copy(update={"per_key": n})) for n in (None, 5))
    assert len(few["train"]) == 4 * 5
    assert set(few["train"]) <= set(full["train"])
    assert few["test"].tolist() == full["test"].tolist()


def test_fractions_that_do_not_add_up_are_refused():
    with pytest.raises(ConfigError, match=r"data\.fractions.*add up to 1"):
        split_frames(*frames(10), DATA.model_copy(update={"fractions": (0.5, 0.2, 0.2)}))


def test_the_protocol_tells_the_range_of_snr_and_what_trains():
    config = clst_rml2016a()
    assert "-20 to 18 dB" in protocol(config)
    narrow = config.model_copy(update={"data": config.data.model_copy(update={"snr_db": (0.0, 18.0)})})
    assert "from 0 to 18 dB only" in protocol(narrow)
    made = config.model_copy(update={"data": config.data.model_copy(update={"generator": GeneratorSettings()})})
    assert "simulated" in protocol(made)
