"""What every network gets for free: power, calibration, rejection."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from armillary.domains.modulation.classifier import FrameClassifier, unit_power
from armillary.domains.modulation.settings import ModulationPredict
from armillary.domains.modulation.systems.conv_norm import ChannelNorm, fold_norms
from armillary.domains.modulation.systems.kd_cnn import KDCNN
from armillary.domains.modulation.systems.settings import KDCNNSettings


class Small(nn.Module):
    """Scores from the mean power of each rail's filtered samples, with a batch norm on the way."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.filter, self.norm = nn.Conv1d(2, 8, 5), ChannelNorm(8)
        self.last = nn.Linear(8, classes)

    def features(self, iq: Tensor) -> Tensor:
        return self.norm(self.filter(iq)).square().mean(-1)

    def forward(self, iq: Tensor) -> Tensor:
        return self.last(self.features(iq))

    def after_step(self) -> None:
        fold_norms(self)


def frames(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, 64, generator=torch.Generator().manual_seed(seed))


def batch(iq: Tensor, target: Tensor | None = None) -> dict[str, Tensor]:
    count = len(iq)
    target = torch.zeros(count, dtype=torch.int64) if target is None else target
    return {"iq": iq, "target": target, "snr_db": torch.zeros(count), "index": torch.arange(count)}


def classifier() -> FrameClassifier:
    torch.manual_seed(0)
    return FrameClassifier(Small()).eval()


def predicted(model: FrameClassifier, iq: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return next(iter(model.predict(batch(iq), ModulationPredict())))


def calibrated(model: FrameClassifier, iq: Tensor, target: Tensor, size: int = 100) -> None:
    def batches() -> Iterator[dict[str, Tensor]]:
        for first in range(0, len(iq), size):
            yield batch(iq[first : first + size], target[first : first + size])

    model.calibrate(batches)


@settings(max_examples=25)
@given(st.integers(-30, 30), st.integers(0, 100))
def test_every_frame_has_unit_power_whatever_its_level(exponent: int, seed: int):
    scaled = unit_power(frames(4, seed) * 2.0**exponent)
    assert_close(scaled.square().sum(1).mean(-1), torch.ones(4))
    assert_close(scaled, unit_power(frames(4, seed)))


def test_a_frame_of_zeros_stays_zeros_and_has_finite_probabilities():
    zeros = torch.zeros(2, 2, 64)
    assert_close(unit_power(zeros), zeros)
    for values in predicted(classifier(), zeros).values():
        assert values.isfinite().all()


def test_a_batch_of_one_equals_the_row_of_a_batch():
    torch.manual_seed(0)
    model = FrameClassifier(KDCNN(KDCNNSettings(), 5, 64)).eval()
    iq = frames(7)
    whole = predicted(model, iq)
    for row in (0, 3, 6):
        for name, values in predicted(model, iq[row : row + 1]).items():
            assert_close(values, whole[name][row : row + 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("factor", [0.1, 1.0, 20.0])
def test_calibration_never_raises_the_log_loss_of_validation_and_keeps_the_order_of_classes(factor: float):
    model, iq = classifier(), frames(300)
    with torch.no_grad():
        model.network.last.weight *= factor
        target = torch.multinomial(model(iq).softmax(-1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
        model.network.last.weight *= 3
    before = predicted(model, iq)["probability"]
    calibrated(model, iq, target)
    after = predicted(model, iq)["probability"]
    assert functional.nll_loss(after.log(), target) <= functional.nll_loss(before.log(), target) + 1e-6
    assert_close(after.argmax(1), before.argmax(1))
    assert_close(after.sum(1), torch.ones(300))


def test_frames_of_no_known_class_do_not_count_in_calibration():
    iq, target = frames(200), torch.arange(200) % 3
    with_strangers, without = classifier(), classifier()
    calibrated(with_strangers, torch.cat([iq, 5 + frames(50, 1)]), torch.cat([target, torch.full((50,), -1)]))
    calibrated(without, iq, target)
    assert_close(with_strangers.temperature, without.temperature)
    assert_close(with_strangers.novelty, without.novelty)


@pytest.mark.parametrize("count", [250, 3000])
def test_typicality_is_uniform_on_the_validation_frames(count: int):
    model, iq = classifier(), frames(count)
    calibrated(model, iq, torch.arange(count) % 3)
    found = predicted(model, iq)
    typicality = found["typicality"].numpy()
    assert np.abs(np.sort(typicality) - (np.arange(count) + 0.5) / count).max() < 0.002 + 1 / count
    # The share with a higher score, counted.
    score = found["open_set_score"]
    higher = (score[None, :] > score[:, None]).float().mean(1)
    assert_close(found["typicality"], higher, atol=0.002 + 1 / count, rtol=0)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_as_many_known_frames_are_rejected_as_were_asked_for(share: float):
    model = classifier()
    calibrated(model, frames(3000), torch.arange(3000) % 3)
    fresh = predicted(model, frames(3000, seed=1))["typicality"]
    # Both samples spread the share: four standard deviations of their difference.
    assert (fresh < share).float().mean() == pytest.approx(share, abs=4 * (2 * share * (1 - share) / 3000) ** 0.5)


def test_typicality_falls_with_the_score_and_is_none_beyond_all_validation_frames():
    model, iq = classifier(), frames(500)
    calibrated(model, iq, torch.arange(500) % 3)
    found = predicted(model, frames(500, seed=2))
    order = found["open_set_score"].argsort()
    assert (found["typicality"][order].diff() <= 0).all()
    with torch.no_grad():
        model.network.last.bias -= 100  # every score of a class far lower: nothing like any class
    assert (predicted(model, iq)["typicality"] == 0).all()
    with torch.no_grad():
        model.network.last.bias += 200
    assert (predicted(model, iq)["typicality"] == 1).all()


def test_without_calibration_nothing_is_rejected_and_probabilities_are_the_softmax():
    model, iq = classifier(), frames(5)
    found = predicted(model, iq)
    assert (found["typicality"] == 1).all()
    assert_close(found["probability"], model(iq).softmax(-1).detach())
    assert_close(found["open_set_score"], -model(iq).logsumexp(-1).detach())


def test_after_a_step_batch_norms_have_moved_and_no_forward_pass_moves_them():
    model = classifier().train()
    norm = model.network.norm
    model.loss(batch(frames(16)), torch.Generator())["total"].backward()
    assert_close(norm.running_mean, torch.zeros(8))
    model.after_step()
    assert (norm.running_mean != 0).all()
    moved = norm.running_mean.clone()
    model.eval()
    predicted(model, frames(16, seed=1))
    model.after_step()
    assert_close(norm.running_mean, moved)


def test_a_network_without_batch_norms_needs_no_step_of_its_own():
    model = FrameClassifier(nn.Sequential(nn.Flatten(), nn.Linear(128, 3)))
    model.after_step()


def test_features_are_what_the_last_map_reads_and_the_loss_is_that_of_the_scores():
    model, iq, target = classifier(), frames(6), torch.tensor([0, 1, 2, 0, 1, 2])
    assert_close(model.network.last(model.features(batch(iq))), model.logits(batch(iq)))
    loss = model.loss(batch(iq, target), torch.Generator())["total"]
    assert_close(loss, functional.cross_entropy(model(iq), target))


def test_calibration_survives_saving():
    model, iq = classifier(), frames(100)
    calibrated(model, iq, torch.arange(100) % 3)
    again = classifier()
    again.load_state_dict(model.state_dict())
    for name, values in predicted(model, iq).items():
        assert_close(predicted(again, iq)[name], values)


def test_the_interface_names_what_a_prediction_gives():
    model = classifier()
    assert set(model.interface().outputs) == set(predicted(model, frames(2)))
