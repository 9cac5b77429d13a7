"""Training items mixed anew in every epoch."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from armillary.core.domain import Items
from armillary.core.errors import DataError
from armillary.domains.speech.dynamic_items import DynamicItems
from armillary.domains.speech.readers.recordings import Recording, open_pool
from armillary.domains.speech.settings import DynamicSettings, SpeechData, SpeechRun
from armillary.domains.speech.systems.settings import ConvTasNetSettings


@pytest.fixture
def items(tmp_path: Path) -> DynamicItems:
    """Six mixtures an epoch of three speakers' files at 16 kHz, of which one is broken after it was looked at."""
    recordings = []
    for number in range(3):
        path = tmp_path / f"s{number}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(number).standard_normal(16_000), 16_000)
        recordings.append(Recording(path.stem, f"speaker {number}", (path,)))
    pool = open_pool(recordings, 8000, lambda error: pytest.fail(str(error)))
    data = SpeechData(card="x", segment_s=0.5, dynamic=DynamicSettings(mixtures=6))
    config = SpeechRun.model_construct(seed=0, data=data, model=ConvTasNetSettings())
    return DynamicItems(config, pool, problems=[DataError("left out", path="a.wav")])


def test_items_have_what_the_pipelines_expect(items: DynamicItems):
    assert isinstance(items, Items)
    assert len(items) == len(items.ids) == len(items.groups) == 6
    assert len(set(items.ids)) == 6
    assert items.known["speakers"].shape == items.known["sexes"].shape == (6, 2)
    assert [str(problem) for problem in items.problems] == ["a.wav: left out"]


def test_an_item_is_a_function_of_epoch_and_index_also_in_another_process(items: DynamicItems):
    one = items[(1, 2)]
    items[(4, 0)]
    other = pickle.loads(pickle.dumps(items))[(1, 2)]
    for key in ("mixture", "sources", "index"):
        np.testing.assert_array_equal(one[key], items[(1, 2)][key])
        np.testing.assert_array_equal(one[key], other[key])
    assert not np.array_equal(one["mixture"], items[(2, 2)]["mixture"])


def test_items_make_a_batch(items: DynamicItems):
    batch = items.collate([items[(1, index)] for index in range(3)])
    assert batch["mixture"].shape == (3, 4000)
    assert batch["sources"].shape == (3, 2, 4000)
    assert batch["length"].tolist() == [4000] * 3
    torch.testing.assert_close(batch["mixture"], batch["sources"].sum(1), atol=1e-6, rtol=0)


def test_a_file_that_breaks_while_training_is_told_and_the_others_go_on(items: DynamicItems, tmp_path: Path):
    (tmp_path / "s1.wav").write_bytes(b"no sound")
    for index in range(6):
        assert items[(1, index)]["mixture"].any()
    assert len(items.problems) == 2
    assert "s1.wav" in str(items.problems[1])
