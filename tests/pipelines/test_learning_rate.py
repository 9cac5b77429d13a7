"""Schedules and optimisers."""

import math

import pytest
import torch

from armillary.core.config import OptimSettings
from armillary.core.config.mixers import AttentionSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.pipelines.learning_rate import Plateau, scheduled_factor
from armillary.pipelines.optimisers import Joint, make_optimiser


def test_warm_up_is_linear_and_the_cosine_ends_at_its_fraction():
    optim = OptimSettings(warmup_steps=10, final_lr_fraction=0.1)
    assert [scheduled_factor(optim, step, 110) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert scheduled_factor(optim, 10, 110) == pytest.approx(1.0)
    assert scheduled_factor(optim, 60, 110) == pytest.approx(0.55)
    assert scheduled_factor(optim, 110, 110) == pytest.approx(0.1)
    assert scheduled_factor(optim, 500, 110) == pytest.approx(0.1)


def test_a_constant_schedule_stays_after_its_warm_up():
    optim = OptimSettings(schedule="constant", warmup_steps=2)
    assert [scheduled_factor(optim, step, 10) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_the_plateau_cuts_after_its_patience_and_waits_through_its_cooldown():
    optim = OptimSettings(schedule="plateau", plateau_patience=2, plateau_cooldown=2, plateau_factor=0.5)
    state, factors = Plateau(), []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95):
        state = state.after_epoch(loss, optim)
        factors.append(state.factor)
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert Plateau.from_dict(state.as_dict()) == state
    assert Plateau.from_dict(Plateau().as_dict()).best == math.inf


def trunk() -> Trunk:
    """Two small blocks."""
    torch.manual_seed(0)
    return Trunk(TrunkSettings(width=16, depth=2, pattern=(AttentionSettings(heads=2),)))


@pytest.mark.parametrize("algorithm", ["adam", "adamw", "muon"])
def test_every_parameter_is_stepped_and_the_state_goes_on(algorithm: str):
    settings = OptimSettings(algorithm=algorithm, lr=1e-2)
    tokens = Tokens(torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)))

    def step(model: Trunk, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        model(tokens)[0].values.square().mean().backward()
        optimiser.step()

    straight, halted = trunk(), trunk()
    one, two = make_optimiser(straight, settings), make_optimiser(halted, settings)
    step(straight, one)
    step(halted, two)
    for before, after in zip(trunk().parameters(), straight.parameters(), strict=True):
        assert not torch.equal(before, after) or (before.grad is None and after.grad.abs().max() == 0)
    resumed = trunk()
    resumed.load_state_dict(halted.state_dict())
    three = make_optimiser(resumed, settings)
    three.load_state_dict(two.state_dict())
    step(straight, one)
    step(resumed, three)
    for left, right in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(left, right)


def test_muon_takes_the_matrices_of_the_blocks_and_only_them():
    model = torch.nn.Sequential(torch.nn.Linear(16, 16), trunk())
    joint = make_optimiser(model, OptimSettings(algorithm="muon", weight_decay=0.1))
    assert isinstance(joint, Joint)
    muon, adamw = joint.parts
    chosen = {id(p) for group in muon.param_groups for p in group["params"]}
    expected = {id(p) for block in model[1].blocks() for p in block.parameters() if p.ndim == 2}
    assert chosen == expected
    rest = {id(p) for group in adamw.param_groups for p in group["params"]}
    assert rest == {id(p) for p in model.parameters()} - expected


def test_a_changed_rate_reaches_every_part():
    joint = make_optimiser(trunk(), OptimSettings(algorithm="muon", lr=1e-2))
    for group in joint.param_groups:
        group["lr"] = group["base_lr"] * 0.25
    assert isinstance(joint, Joint)
    assert {group["lr"] for part in joint.parts for group in part.param_groups} == {0.0025}
