"""The Legendre memory: what it remembers, the recurrence it is, and precision."""

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre
from torch.testing import assert_close

from armillary.core.config.mixers import LegendreSettings
from armillary.core.mixers import Legendre
from armillary.core.tokens import Tokens

WIDTH = 4


def _mixer(**changes) -> Legendre:
    torch.manual_seed(0)
    settings = LegendreSettings(**({"order": 8, "theta": 24.0, "activation": "gelu"} | changes))
    return Legendre(WIDTH, settings).double().eval()


def _constants(mixer: Legendre) -> tuple[torch.Tensor, torch.Tensor]:
    return mixer.powers[0].view(torch.float64), mixer.impulse[0].view(torch.float64)


def _one_by_one(mixer: Legendre, values: torch.Tensor) -> torch.Tensor:
    transition, entry = _constants(mixer)
    memory, outputs = torch.zeros(len(values), len(entry), dtype=torch.float64), []
    for token in values.unbind(1):
        memory = memory @ transition.T + mixer.activation(mixer.signal(token)) * entry
        outputs.append(mixer.activation(mixer.out(torch.cat([memory, token], 1))))
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 101])
def test_chunks_are_the_recurrence_token_by_token(length):
    mixer, values = _mixer(), torch.randn(2, length, WIDTH, dtype=torch.float64)
    assert_close(mixer(Tokens(values))[0], _one_by_one(mixer, values), rtol=1e-10, atol=1e-12)


def test_long_padded_prompts_go_on_from_their_own_last_token():
    mixer, values = _mixer(), torch.randn(4, 110, WIDTH, dtype=torch.float64)
    lengths = torch.tensor([70, 64, 33, 0])
    _, state = mixer(Tokens(values[:, :70], mask=torch.arange(70) < lengths[:, None]))
    continued = mixer(Tokens(values[:, 70:]), state)[0]
    for row, length in enumerate(lengths.tolist()):
        alone = torch.cat([values[row : row + 1, :length], values[row : row + 1, 70:]], 1)
        assert_close(continued[row : row + 1], mixer(Tokens(alone))[0][:, length:], rtol=1e-9, atol=1e-11)


def test_the_memory_holds_the_last_theta_tokens_of_a_smooth_signal():
    """Coefficients times shifted Legendre polynomials give the signal r·theta tokens ago, r from 0 to 1."""
    order, theta = 12, 200.0
    transition, entry = (tensor.numpy() for tensor in _constants(_mixer(order=order, theta=theta)))
    time = np.arange(1000)
    signal = np.sin(2 * np.pi * time / 150) + 0.5 * np.cos(2 * np.pi * time / 333)
    memory = np.zeros(order)
    for value in signal:
        memory = transition @ memory + entry * value
    ago = np.array([20, 60, 100, 150, 180])
    decoded = [memory @ eval_legendre(np.arange(order), 2 * steps / theta - 1) for steps in ago]
    # The hold shifts the signal by half a token, which moves these slopes by up to 0.03.
    np.testing.assert_allclose(decoded, signal[-1 - ago], atol=0.04)


@pytest.mark.parametrize("order", [16, 128, 256])
def test_the_hold_is_exact_and_stable(order):
    transition, entry = (tensor.numpy() for tensor in _constants(_mixer(order=order, theta=float(order))))
    index = np.arange(order)
    rate = (2 * index + 1) / order
    sign = np.where(index[:, None] < index[None, :], -1.0, (-1.0) ** (index[:, None] - index[None, :] + 1))
    drive = rate * (-1.0) ** index
    held = np.linalg.solve(rate[:, None] * sign, (transition - np.eye(order)) @ drive)
    np.testing.assert_allclose(held, entry, atol=1e-12)
    assert np.abs(np.linalg.eigvals(transition)).max() < 1


def test_constants_survive_a_cast_and_are_not_stored():
    mixer = _mixer()
    before = _constants(mixer)[0].clone()
    assert torch.equal(_constants(mixer.to(torch.bfloat16))[0], before)
    assert set(mixer.state_dict()) == {"signal.weight", "signal.bias", "out.weight", "out.bias"}


@pytest.mark.parametrize("order", [64, 256])
def test_single_precision_is_close_to_double(order):
    mixer = _mixer(order=order, theta=float(order), activation="silu")
    values = torch.randn(2, 500, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        exact = mixer(Tokens(values))[0]
        single = mixer.float()(Tokens(values.float()))[0].double()
    assert float((single - exact).norm() / exact.norm()) < 2e-6


def test_a_value_that_is_not_a_number_spoils_no_earlier_output():
    mixer, values = _mixer(), torch.randn(1, 50, WIDTH, dtype=torch.float64)
    expected = mixer(Tokens(values))[0][:, :40]
    values[:, 45] = torch.nan
    spoiled = mixer(Tokens(values))[0]
    # Within a chunk zero times not-a-number is still that; chunks before it are as they were.
    assert_close(spoiled[:, :32], expected[:, :32])
    assert spoiled[:, 45:].isnan().all()
