"""Predictions come back in the order of the items, with tracks that start at the first detection."""

from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.core.domain import Items
from armillary.domains.transients.assemble import assemble
from armillary.domains.transients.build import build
from armillary.domains.transients.data import datasets
from armillary.domains.transients.recipes import simulated, t2_plasticc
from armillary.domains.transients.settings import TransientsPredict, TransientsRun
from armillary.domains.transients.simulate import simulate
from armillary.pipelines.inference import join


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small fabricated survey."""
    return {"simulated_lsst": simulate("simulated_lsst", tmp_path_factory.mktemp("twin"), 0, "twin")}


def outputs(config: TransientsRun, items: Items, order: list[int], size: int) -> list[dict[str, np.ndarray]]:
    """What an untrained network says, in batches of `size` of the items in `order`."""
    torch.manual_seed(0)
    model = build(config).eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(order), size):
            batch = items.collate([items[(0, i)] for i in order[start : start + size]])
            out = next(model.predict(batch, config.predict))
            found.append({**{k: v.float().numpy() for k, v in out.items()}, "index": batch["index"].numpy()})
    return found


def test_neither_batches_nor_their_order_change_a_prediction(twin: dict[str, Path]):
    config = simulated().model_copy(update={"predict": TransientsPredict(track=True)})
    items = datasets(config, twin, "train")
    order = np.random.default_rng(0).permutation(len(items)).tolist()
    one = assemble(config, items, outputs(config, items, list(range(len(items))), 64))
    other = assemble(config, items, outputs(config, items, order, 5))
    assert one["item"].values.tolist() == items.ids.tolist()
    for name in ("probability", "track_probability", "early_probability", "open_set_score"):
        np.testing.assert_allclose(one[name].values, other[name].values, rtol=1e-3, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(one["track_row_size"], other["track_row_size"])


def test_a_track_starts_at_the_first_detection_and_ends_in_the_answer(twin: dict[str, Path]):
    config = simulated().model_copy(update={"predict": TransientsPredict(track=True)})
    items = datasets(config, twin, "train")
    found = assemble(config, items, outputs(config, items, list(range(len(items))), 16))
    ends = np.cumsum(found["track_row_size"].values)
    starts = ends - found["track_row_size"].values
    np.testing.assert_array_equal(found["track_time"].values[starts], np.zeros(len(items)))
    assert found["track_time"].attrs["units"] == "d"
    np.testing.assert_allclose(found["track_probability"].values[ends - 1], found["probability"].values, atol=1e-6)
    sizes = [(items[(0, i)]["time"] >= 0).sum() for i in range(len(items))]
    assert found["track_row_size"].values.tolist() == sizes


def test_predictions_of_chunks_join_into_those_of_the_whole(twin: dict[str, Path]):
    config = simulated().model_copy(update={"predict": TransientsPredict(track=True)})
    items = datasets(config, twin, "train")
    parts = [items.select(np.arange(7)), items.select(np.arange(7, len(items)))]
    halves = [assemble(config, part, outputs(config, part, list(range(len(part))), 16)) for part in parts]
    whole = assemble(config, items, outputs(config, items, list(range(len(items))), 16))
    joined = join(halves)
    assert joined.sizes == whole.sizes
    assert joined["item"].values.tolist() == whole["item"].values.tolist()
    np.testing.assert_array_equal(joined["track_row_size"], whole["track_row_size"])
    np.testing.assert_array_equal(joined["track_time"], whole["track_time"])
    np.testing.assert_allclose(joined["track_probability"], whole["track_probability"], rtol=1e-3, atol=1e-5)


def test_without_options_a_prediction_is_small(twin: dict[str, Path]):
    config = simulated()
    items = datasets(config, twin, "validation")
    found = assemble(config, items, outputs(config, items, list(range(len(items))), 16))
    assert "observation" not in found.dims
    assert set(found.data_vars) == {"truth", "group", "probability", "open_set_score", "early_probability"}


def test_activation_maps_come_on_request(twin: dict[str, Path]):
    config = t2_plasticc()
    config = config.model_copy(
        update={
            "data": config.data.model_copy(update={"card": "simulated_lsst"}),
            "predict": TransientsPredict(maps=True),
        }
    )
    items = datasets(config, twin, "validation")
    found = assemble(config, items, outputs(config, items, list(range(len(items))), 16))
    assert found["activation_map"].dims == ("item", "class", "time_step")
    assert found["activation_map"].shape == (len(items), 14, 100)
