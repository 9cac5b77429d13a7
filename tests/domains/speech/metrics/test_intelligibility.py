"""Short-time objective intelligibility of odd signals, and its order."""

import numpy as np
import torch

from armillary.domains.speech.metrics.intelligibility import stoi


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    """White noise (1, 1, samples)."""
    return torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(seed))


def test_more_noise_is_less_intelligible() -> None:
    source = noise(12000) * torch.sin(torch.arange(12000) / 400).abs()
    found = [float(stoi(source + level * noise(12000, 1), source, None, 8000)) for level in (0.0, 0.1, 0.5, 2.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.9999
    assert found[-1] < 0.7


def test_less_than_the_frames_of_one_value_have_none() -> None:
    # 256 + 29 * 128 samples at 10 kHz are 3174.4 at 8 kHz.
    for samples, defined in ((10, False), (256, False), (3174, False), (3300, True), (8000, True)):
        assert bool(stoi(noise(samples), noise(samples), None, 8000).isfinite()) == defined, samples


def test_a_word_in_long_silence_may_be_too_short() -> None:
    source = torch.zeros(1, 1, 16000)
    source[..., 4000:5000] = noise(1000)
    assert stoi(source, source, None, 8000).isnan().all()


def test_silence_and_nan_have_no_value() -> None:
    assert stoi(noise(8000), torch.zeros(1, 1, 8000), None, 8000).isnan().all()
    assert stoi(np.nan * noise(8000), noise(8000), None, 8000).isnan().all()
