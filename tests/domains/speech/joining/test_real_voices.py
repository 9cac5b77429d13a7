"""Recorded readers with long pauses, separated by oracle masks: voices stay where they are."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose
from scipy.optimize import linear_sum_assignment
from scipy.signal import istft, resample_poly, stft

from armillary.domains.speech.joining import Joiner

WINDOW, HOP, PAUSE = 64_000, 48_000, 24_000  # samples at 8 kHz: the default window and overlap, and 3 s


def reader(folder: Path, number: int) -> np.ndarray:
    """Four utterances at one loudness, with pauses between them that are longer than an overlap."""
    parts: list[np.ndarray] = []
    for path in sorted(folder.rglob("*.flac"))[number : number + 4]:
        samples = resample_poly(soundfile.read(path)[0], 1, 2)[:56_000]
        samples *= 0.05 / np.sqrt(np.square(samples).mean())
        parts.append(np.pad(samples, (0, 56_000 + PAUSE - len(samples))))
    return np.concatenate(parts)


def masked(voices: np.ndarray) -> np.ndarray:
    """Each voice by its share of the magnitude in the mixture, a tenth of the others left in."""
    spectra = stft(np.stack([*voices, voices.sum(0)]), 8000, nperseg=256, noverlap=192)[2]
    size = np.abs(spectra[:-1]) + 1e-6
    share = 0.9 * size / size.sum(0) + 0.1 / len(voices)
    return istft(share * spectra[-1], 8000, nperseg=256, noverlap=192)[1][:, : voices.shape[1]]


@pytest.mark.real
def test_readers_keep_their_tracks_across_pauses(cut, data_root: Path):
    home = data_root / "speech" / "librispeech_mini" / "LibriSpeech" / "test-other"
    if not home.is_dir():
        pytest.skip("no librispeech_mini below ARMILLARY_DATA")
    readers = sorted(home.iterdir())
    for number, pair in enumerate(combinations(readers, 2)):
        voices = np.stack([reader(folder, number % 6) for folder in pair])
        estimates = masked(voices).astype(np.float32)
        joiner = Joiner()
        pieces = [
            piece.samples
            for chunk in cut(estimates, window=WINDOW, hop=HOP, seed=number, mixture=voices.sum(0).astype(np.float32))
            for piece in joiner.add(chunk)
        ]
        found = np.concatenate(pieces, axis=1)
        order = linear_sum_assignment(found @ estimates.T, maximize=True)[1]
        assert_allclose(found, estimates[order], atol=0.05 * np.abs(estimates).max(), err_msg=f"{pair}")
