"""Hops through a causal network give what the whole recording gives; their times are counted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from armillary.core.config.mixers import Mamba2Settings
from armillary.core.config.trunk import TrunkSettings
from armillary.domains.speech.build import build
from armillary.domains.speech.separator import Separator
from armillary.domains.speech.settings import SpeechData, SpeechRun
from armillary.domains.speech.streaming import HopTimes, Stream, hops
from armillary.domains.speech.systems.settings import FilterbankSettings, MaskTrunkSettings


@pytest.fixture(scope="module")
def model() -> Separator:
    """A small causal separator with random weights."""
    torch.manual_seed(0)
    trunk = TrunkSettings(width=16, pattern=(Mamba2Settings(state=4, head_width=8),), depth=1)
    network = MaskTrunkSettings(
        filterbank=FilterbankSettings(filters=16, kernel=16, stride=8), trunk=trunk, positions=False, norm="step"
    )
    made = build(SpeechRun(recipe="speech/none", data=SpeechData(card="none"), model=network))
    assert isinstance(made, Separator)
    return made.eval()


def whole(model: Separator, recording: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.from_numpy(recording)[None])[0].numpy()


@settings(max_examples=20)
@given(length=st.integers(1, 700), hop=st.integers(1, 300))
def test_hops_of_any_length_give_what_the_whole_gives(model: Separator, length: int, hop: int):
    recording = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    stream = Stream(model.network, 8000)
    stream.warm_up(hop)
    given_out = [stream(samples) for samples in hops([recording], hop)]
    voices = np.concatenate([*given_out, stream.finish()], axis=1)
    expected = whole(model, recording)
    assert voices.shape == expected.shape
    assert_allclose(voices, expected, atol=2e-5 * max(1.0, float(np.abs(expected).max())))
    assert stream.samples == length
    assert stream.times.count == -(-length // hop)


def test_no_estimate_waits_longer_than_the_latency(model: Separator):
    stream = Stream(model.network, 8000)
    assert stream.latency == 15
    out = 0
    for taken in range(1, 200):
        out += stream(np.zeros(1, np.float32)).shape[1]
        assert out >= taken - stream.latency


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 40))
def test_hops_are_the_blocks_cut_anew(lengths: list[int], size: int):
    samples = np.arange(sum(lengths), dtype=np.float32)
    blocks = np.split(samples, np.cumsum(lengths)[:-1]) if lengths else []
    cut = list(hops(blocks, size))
    assert_array_equal(np.concatenate([np.zeros(0, np.float32), *cut]), samples)
    assert all(len(part) == size for part in cut[:-1])
    assert all(len(part) for part in cut)


def test_times_of_hops_are_summed_up():
    times = HopTimes()
    assert times.mean_s == times.percentile_99_s == 0
    for seconds in range(1, 101):
        times.add(float(seconds), 90.0)
    assert times.count == 100
    assert times.late == 10
    assert times.worst_s == 100
    assert times.mean_s == pytest.approx(50.5)
    assert times.percentile_99_s == pytest.approx(99.01)
