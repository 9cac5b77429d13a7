"""Parts of files at a wanted rate: the same however they are read, and not kept for ever."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.core.errors import DataError
from armillary.domains.speech.readers import load as module
from armillary.domains.speech.readers.load import KeptSignals, load


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", KeptSignals(1 << 20))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("load")
    signal = (0.1 * np.random.default_rng(0).standard_normal(60000)).astype(np.float32)
    paths = {rate: folder / f"{rate}.wav" for rate in (8000, 16000, 44100)}
    for rate, path in paths.items():
        soundfile.write(path, signal, rate, subtype="FLOAT")
    return paths


def test_a_part_is_cut_from_the_whole(recording: dict[int, Path]):
    whole = load(recording[16000], 8000)
    assert len(whole) == 30000
    np.testing.assert_array_equal(load(recording[16000], 8000, 100, 350), whole[100:350])
    np.testing.assert_array_equal(load(recording[16000], 8000, 29000, 99999), whole[29000:])
    assert len(load(recording[16000], 8000, 40000)) == 0


@settings(max_examples=40)
@given(
    st.sampled_from([8000, 16000, 44100]), st.sampled_from([8000, 16000]), st.integers(0, 40000), st.integers(0, 9000)
)
def test_parts_of_long_files_are_those_of_the_whole(
    recording: dict[int, Path], here: int, there: int, start: int, count: int
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_KEPT", KeptSignals(1 << 20))
        whole = load(recording[here], there)
        patch.setattr(module, "_KEPT", KeptSignals(1 << 20))
        patch.setattr(module, "WHOLE_SAMPLES", 100)
        part = load(recording[here], there, start, start + count)
    # The filter is cut off where the rest is below float32's rounding.
    np.testing.assert_allclose(part, whole[start : start + count], atol=1e-6)


def test_the_end_of_a_long_file_is_not_called_a_problem(recording: dict[int, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WHOLE_SAMPLES", 100)
    assert len(load(recording[16000], 8000, 29000)) == 1000


def test_a_file_that_changed_is_read_anew(tmp_path: Path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(10, 0.5), 8000, subtype="FLOAT")
    assert load(path, 8000)[0] == np.float32(0.5)
    soundfile.write(path, np.full(11, 0.25), 8000, subtype="FLOAT")
    assert load(path, 8000)[0] == np.float32(0.25)


def test_what_comes_back_cannot_be_written_to(recording: dict[int, Path]):
    with pytest.raises(ValueError, match="read-only"):
        load(recording[8000], 8000, 0, 10)[0] = 1


def test_only_the_signals_asked_for_last_are_kept():
    kept = KeptSignals(bound_bytes=100)
    for name in "abc":
        kept.put((name,), np.zeros(10, np.float32))
    assert [kept.get((name,)) is not None for name in "abc"] == [False, True, True]
    kept.get(("b",))
    kept.put(("d",), np.zeros(10, np.float32))
    assert [kept.get((name,)) is not None for name in "bcd"] == [True, False, True]


def test_damage_is_warned_of_and_missing_files_are_errors(tmp_path: Path):
    path = tmp_path / "a.wav"
    signal = np.zeros(100, np.float32)
    signal[3] = np.nan
    soundfile.write(path, signal, 8000, subtype="FLOAT")
    with pytest.warns(RuntimeWarning, match=r"a\.wav: 1 of 100 samples are not finite"):
        assert np.isfinite(load(path, 8000)).all()
    with pytest.raises(DataError, match="cannot be opened"):
        load(tmp_path / "b.wav", 8000)
