"""Spread over passes with dropout, and over several runs."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from torch.testing import assert_close

from armillary.core.block import DropPath
from armillary.core.errors import ConfigError
from armillary.domains.medical.uncertainty import dropout_spread, dropping, ensemble


class Small(nn.Module):
    """Two scores an image, with dropout and a batch norm on the way."""

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.filter, self.norm, self.drop = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Dropout(rate)
        self.last = nn.Linear(8, 2)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(self.drop(self.norm(self.filter(image)).square().mean((2, 3))))


def network(rate: float = 0.5) -> Small:
    torch.manual_seed(0)
    return Small(rate).eval()


def images(count: int = 4) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def spread(net: nn.Module, image: Tensor, passes: int = 20, seed: int = 0) -> Tensor:
    with torch.no_grad():
        return dropout_spread(net, lambda one: net(one).sigmoid(), image, passes, seed)


def test_the_spread_repeats_under_a_seed_and_leaves_the_random_state_alone():
    net, image = network(), images()
    torch.manual_seed(5)
    first = spread(net, image)
    after = torch.rand(3)
    torch.manual_seed(99)
    assert_close(spread(net, image), first, rtol=0, atol=0)
    torch.manual_seed(5)
    assert_close(torch.rand(3), after, rtol=0, atol=0)
    assert not torch.equal(spread(net, image, seed=1), first)
    assert (first > 0).all()


def test_the_spread_of_an_image_does_not_depend_on_the_others():
    net, image = network(), images(5)
    assert_close(spread(net, image[3:4]), spread(net, image)[3:4])


def test_the_spread_is_the_standard_deviation_over_passes():
    # One feature of three passes through, with a known chance: p (1 - p) scaled by the weight.
    class Coin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, image: Tensor) -> Tensor:
            return self.drop(torch.ones(len(image), 1))

    net = Coin().eval()
    found = dropout_spread(net, net, images(1), 2000, 0)
    assert float(found) == pytest.approx(1.0, abs=0.05)  # 0 or 2, each half of the time


def test_only_what_drops_is_switched_on_and_all_is_as_before_afterwards():
    net = network()
    moments = net.norm.running_mean.clone()
    with dropping(net):
        assert net.drop.training
        assert not net.training
        assert not net.norm.training
        net(images())
    assert not net.drop.training
    assert_close(net.norm.running_mean, moments, rtol=0, atol=0)


@pytest.mark.parametrize("part", [DropPath(0.2), nn.MultiheadAttention(4, 1, dropout=0.1), nn.Dropout2d(0.1)])
def test_drop_path_and_dropout_inside_attention_count(part: nn.Module):
    net = nn.Sequential(nn.Linear(2, 2), part).eval()
    with dropping(net):
        assert part.training


def test_a_network_in_which_nothing_drops_cannot_tell_a_spread():
    with pytest.raises(ConfigError, match=r"nothing in this network drops.*\n.*model\.dropout or model\.drop_path"):
        spread(network(rate=0.0), images())


def test_one_pass_has_no_spread():
    with pytest.raises(ConfigError, match=r"predict\.samples=1: a spread needs two passes"):
        spread(network(), images(), passes=1)


def prediction(seed: int, count: int = 3, threshold: float = 0.5) -> xr.Dataset:
    probability = np.random.default_rng(seed).random((count, 2)).astype(np.float32)
    level = np.full(2, threshold, np.float32)
    return xr.Dataset(
        {
            "probability": (("item", "label"), probability),
            "target": (("item", "label"), np.zeros((count, 2), np.float32)),
            "threshold": ("label", level),
            "present": (("item", "label"), probability >= level),
        },
        {"item": np.arange(count).astype(np.str_), "label": ["Mass", "Edema"]},
        {"recipe": "medical/simulated"},
    )


def test_an_ensemble_has_the_mean_probability_the_spread_and_the_mean_threshold():
    parts = [prediction(seed, threshold=0.2 + 0.1 * seed) for seed in range(4)]
    found = ensemble(parts)
    stacked = np.stack([part["probability"].values for part in parts])
    np.testing.assert_allclose(found["probability"], stacked.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found["uncertainty"], stacked.std(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(found["threshold"], 0.35, rtol=1e-6)
    np.testing.assert_array_equal(found["present"], found["probability"].values >= np.float32(0.35))
    assert found["probability"].dtype == np.float32
    assert found.attrs["members"] == 4
    xr.testing.assert_equal(found["target"], parts[0]["target"])
    xr.testing.assert_identical(parts[0], prediction(0, threshold=0.2))


def test_runs_that_agree_have_no_uncertainty():
    assert (ensemble([prediction(0), prediction(0)])["uncertainty"] == 0).all()


def test_an_ensemble_of_one_is_none():
    with pytest.raises(ValueError, match="at least, got 1"):
        ensemble([prediction(0)])


def test_members_of_other_items_or_names_are_refused():
    with pytest.raises(ValueError, match="prediction 1 differs from the first along 'item'"):
        ensemble([prediction(0), prediction(1, count=2)])
    renamed = prediction(1).assign_coords(label=["Mass", "Nodule"])
    with pytest.raises(ValueError, match="differs from the first along 'label'"):
        ensemble([prediction(0), renamed])
    with pytest.raises(ValueError, match="an ensemble is of runs of one task"):
        ensemble([prediction(0), prediction(1).rename(label="class")])


def test_scores_of_masks_do_not_average():
    scores = prediction(0).drop_vars("probability")
    with pytest.raises(ValueError, match=r"predict\.keep_masks=true"):
        ensemble([scores, scores])
