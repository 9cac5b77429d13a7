"""PESQ through its optional package: bands, failures and the message without it."""

import sys

import pytest
import torch

from armillary.core.errors import ConfigError, MissingExtraError
from armillary.domains.speech.metrics.quality import pesq


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    """Noise that comes and goes (1, 1, samples)."""
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(1, 1, samples, generator=generator) * torch.sin(torch.arange(samples) / 900).abs()


@pytest.mark.parametrize(("rate_hz", "best"), [(8000, 4.549), (16000, 4.644)])
def test_a_perfect_copy_has_the_highest_value_of_its_band(rate_hz: int, best: float) -> None:
    assert float(pesq(noise(2 * rate_hz), noise(2 * rate_hz), None, rate_hz)) == pytest.approx(best, abs=1e-3)


def test_more_noise_is_worse() -> None:
    source = noise(16000)
    found = [float(pesq(source + level * noise(16000, 1), source, None, 8000)) for level in (0.03, 0.3, 3.0)]
    assert found == sorted(found, reverse=True)


def test_silence_and_short_signals_have_no_value() -> None:
    assert pesq(noise(8000), torch.zeros(1, 1, 8000), None, 8000).isnan().all()
    assert pesq(torch.zeros(1, 1, 8000), noise(8000), None, 8000).isnan().all()
    assert pesq(noise(500), noise(500), None, 8000).isnan().all()


def test_other_rates_are_refused_with_advice() -> None:
    with pytest.raises(ConfigError, match=r"got 11025 Hz; take 'pesq' out of predict.scores"):
        pesq(noise(8000), noise(8000), None, 11025)


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'armillary\[pesq\]'"):
        pesq(noise(8000), noise(8000), None, 8000)
