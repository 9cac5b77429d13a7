"""Audio files of any format as a stream: what comes out, and what is said of bad ones."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.core.errors import DataError
from armillary.domains.speech.readers import audio
from armillary.domains.speech.readers.audio import Channel, info, stream_audio
from armillary.domains.speech.readers.resample import resampled, resampled_length


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def tone(samples: int, rate: int, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(samples) / rate)).astype(np.float32)


def written(path: Path, signal: np.ndarray, rate: int = 8000, **more: str) -> Path:
    soundfile.write(path, signal, rate, **more)
    return path


def streamed(
    path: Path, rate: int = 8000, channel: Channel = "mean", problems: list[DataError] | None = None
) -> np.ndarray:
    report = [].append if problems is None else problems.append
    return np.concatenate(list(stream_audio(path, rate, channel, report)))


def attempt(path: Path) -> np.ndarray | DataError:
    try:
        return streamed(path)
    except DataError as error:
        return error


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def patched(path: Path, marker: bytes, shift: int, value: bytes) -> Path:
    content = bytearray(path.read_bytes())
    place = content.find(marker) + shift
    content[place : place + len(value)] = value
    path.write_bytes(content)
    return path


def test_a_name_that_is_no_text_is_told_in_text(tmp_path: Path):
    path = Path(os.fsdecode(bytes(tmp_path) + b"/b\xff.wav"))
    soundfile.write(tmp_path / "a.wav", noise(10), 8000)
    try:
        (tmp_path / "a.wav").rename(path)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    problem = attempt(path)
    assert isinstance(problem, DataError)
    assert "its name is no text in UTF-8" in str(problem)
    assert str(problem).encode("utf-8").startswith(bytes(tmp_path) + b"/b\\xff.wav: ")


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_16", 4e-5), ("a.wav", "PCM_24", 2e-7), ("a.wav", "FLOAT", 0.0), ("a.flac", "PCM_16", 4e-5),
        ("a.ogg", "VORBIS", 0.1), ("a.mp3", "MPEG_LAYER_III", 0.1), ("a.aiff", "PCM_16", 4e-5),
    ],
)  # fmt: skip
def test_every_format_gives_its_samples(tmp_path: Path, name: str, subtype: str, error: float):
    signal = tone(20000, 16000)
    problems: list[DataError] = []
    found = streamed(written(tmp_path / name, signal, 16000, subtype=subtype), 16000, problems=problems)
    assert found.dtype == np.float32
    assert len(found) == len(signal)
    assert np.abs(found[1000:-1000] - signal[1000:-1000]).max() <= error
    assert not problems


@pytest.mark.parametrize("rates", [(16000, 8000), (44100, 8000), (8000, 16000), (11025, 8000), (48000, 16000)])
def test_a_tone_is_the_same_tone_at_another_rate(tmp_path: Path, rates: tuple[int, int]):
    here, there = rates
    found = streamed(written(tmp_path / "a.wav", tone(here, here), here, subtype="FLOAT"), there)
    assert len(found) == there
    np.testing.assert_allclose(found[1000:-1000], tone(there, there)[1000:-1000], atol=1e-4)


@given(st.lists(st.integers(0, 700), max_size=6), st.sampled_from([(16000, 8000), (44100, 8000), (8000, 48000)]))
def test_where_blocks_are_cut_changes_nothing_and_no_sample_is_lost(cuts: list[int], rates: tuple[int, int]):
    signal = noise(sum(cuts))
    blocks = np.split(signal, np.cumsum(cuts)[:-1]) if cuts else []
    whole = np.concatenate([np.zeros(0, np.float32), *resampled(iter([signal]), *rates)])
    parts = np.concatenate([np.zeros(0, np.float32), *resampled(iter(blocks), *rates)])
    assert len(whole) == resampled_length(len(signal), *rates)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac"])
def test_reading_in_small_blocks_changes_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path / name, noise(30000), 16000)
    whole = streamed(path, 16000)
    monkeypatch.setattr(audio, "_BLOCK_FRAMES", 1000)
    np.testing.assert_allclose(streamed(path, 16000), whole, atol=1e-6)


def test_a_channel_or_the_mean_of_all_is_taken(tmp_path: Path):
    left, right = noise(500, 1), noise(500, 2)
    path = written(tmp_path / "a.wav", np.stack([left, right], 1), subtype="FLOAT")
    np.testing.assert_array_equal(streamed(path, channel=0), left)
    np.testing.assert_array_equal(streamed(path, channel=1), right)
    np.testing.assert_allclose(streamed(path), (left + right) / 2, atol=1e-7)


def test_a_channel_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path):
    path = written(tmp_path / "a.wav", np.stack([noise(50)] * 2, 1))
    with pytest.raises(DataError, match=r"a\.wav: has no channel 2: it has 2, counted from 0\n  Set predict\.channel"):
        streamed(path, channel=2)


def test_float_samples_beyond_one_stay_as_they_are(tmp_path: Path):
    signal = 40 * noise(100)
    problems: list[DataError] = []
    np.testing.assert_array_equal(
        streamed(written(tmp_path / "a.wav", signal, subtype="FLOAT"), problems=problems), signal
    )
    assert not problems


@pytest.mark.parametrize("rates", [(8000, 8000), (16000, 8000), (44100, 8000), (8000, 16000)])
def test_a_file_of_one_sample_gives_one(tmp_path: Path, rates: tuple[int, int]):
    found = streamed(written(tmp_path / "a.wav", np.array([0.5], np.float32), rates[0]), rates[1])
    assert len(found) == resampled_length(1, *rates)


def test_samples_that_are_not_finite_become_zero_and_are_told_once(tmp_path: Path):
    signal = noise(1000)
    signal[[100, 500, 501]] = np.nan, np.inf, -1e30
    problems: list[DataError] = []
    found = streamed(written(tmp_path / "a.wav", signal, subtype="FLOAT"), problems=problems)
    np.testing.assert_array_equal(found, np.where(np.abs(signal) < 1e15, signal, 0))
    assert len(problems) == 1
    assert "3 of 1000 samples are not finite" in problems[0].problem
    assert "the first at 100" in problems[0].problem


@pytest.mark.parametrize("value", [np.nan, 3e38])
def test_the_mean_of_channels_with_nonsense_is_zero_there(tmp_path: Path, value: float):
    signal = np.stack([noise(100), noise(100, 1)], 1)
    signal[7] = value
    assert streamed(written(tmp_path / "a.wav", signal, subtype="FLOAT"))[7] == 0


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.au", "a.w64"])
def test_what_can_be_read_of_a_truncated_file_is_kept_and_reported(tmp_path: Path, name: str):
    signal = noise(40000)
    path = cut(written(tmp_path / name, signal), 0.6)
    problems: list[DataError] = []
    found = streamed(path, problems=problems)
    assert 15000 < len(found) < 30000
    np.testing.assert_allclose(found, signal[: len(found)], atol=4e-5)
    assert len(problems) == 1
    assert name in str(problems[0])
    with pytest.raises(DataError, match="is cut off"):
        info(path)


def test_a_truncated_ogg_file_is_reported(tmp_path: Path):
    path = cut(written(tmp_path / "a.ogg", noise(200000)), 0.5)
    problems: list[DataError] = []
    assert len(streamed(path, problems=problems)) > 10000
    assert "cut off" in problems[0].problem


def test_damage_in_the_middle_ends_a_flac_file_there(tmp_path: Path):
    signal = noise(40000)
    path = written(tmp_path / "a.flac", signal)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    problems: list[DataError] = []
    found = streamed(path, problems=problems)
    np.testing.assert_allclose(found, signal[: len(found)], atol=4e-5)
    assert 10000 < len(found) < 25000
    assert "of the 40000 that its header tells" in problems[0].problem


def test_a_header_that_tells_too_much_costs_no_memory(tmp_path: Path):
    signal = noise(5000)
    wav = patched(written(tmp_path / "a.wav", signal), b"data", 4, struct.pack("<I", 0x10000000))
    flac = written(tmp_path / "a.flac", signal)
    content = bytearray(flac.read_bytes())
    content[21:26] = bytes([content[21] | 15, 255, 255, 255, 255])
    flac.write_bytes(content)
    for path in (wav, flac):
        problems: list[DataError] = []
        assert len(streamed(path, problems=problems)) == 5000
        assert len(problems) == 1


def test_a_stream_of_unknown_length_is_no_problem(tmp_path: Path):
    signal = noise(5000)
    wav = patched(written(tmp_path / "a.wav", signal), b"data", 4, b"\xff\xff\xff\xff")
    flac = written(tmp_path / "a.flac", signal)
    content = bytearray(flac.read_bytes())
    content[21:26] = bytes([content[21] & 240, 0, 0, 0, 0])
    flac.write_bytes(content)
    problems: list[DataError] = []
    assert [len(streamed(path, problems=problems)) for path in (wav, flac)] == [5000, 5000]
    assert not problems
    assert info(flac).num_frames is None


def test_a_header_that_tells_too_little_is_reported(tmp_path: Path):
    path = patched(written(tmp_path / "a.wav", noise(5000)), b"data", 4, struct.pack("<I", 100))
    problems: list[DataError] = []
    assert len(streamed(path, problems=problems)) == 50
    assert "too few samples" in problems[0].problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (bytes(range(256)) * 4, "no audio that can be read"),
        (b"no audio at all\n" * 50, "no audio that can be read"),
        (b"RIFF\x24\x00\x00\x00WAVE", "no audio that can be read"),
    ],
)
def test_what_is_no_audio_is_refused_by_name(tmp_path: Path, content: bytes, problem: str):
    path = tmp_path / "strange.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"strange\.bin: {problem}.*\n  "):
        streamed(path)


def test_files_that_cannot_be_opened_are_refused(tmp_path: Path):
    (tmp_path / "a.raw").write_bytes(bytes(100))
    cases = [("nothing.wav", "cannot be opened"), (".", "is no file"), ("a.raw", "without a header"), ("\0", "opened")]
    for name, problem in cases:
        with pytest.raises(DataError, match=problem):
            streamed(tmp_path / name)


def test_a_file_without_samples_is_refused(tmp_path: Path):
    path = written(tmp_path / "a.wav", noise(0))
    with pytest.raises(DataError, match="holds no samples"):
        streamed(path)
    with pytest.raises(DataError, match="holds no samples"):
        info(path)


@pytest.mark.parametrize("rate", [1, 999, 4_000_000])
def test_a_sample_rate_beyond_reason_is_refused(tmp_path: Path, rate: int):
    path = patched(written(tmp_path / "a.wav", noise(100)), b"fmt ", 12, struct.pack("<I", rate))
    with pytest.raises(DataError, match=f"a sample rate of {rate} Hz; expected 1000 to 1000000 Hz"):
        streamed(path)


def test_many_channels_are_read_in_small_blocks(tmp_path: Path):
    signal = np.tile(noise(2000)[:, None], (1, 1000))
    path = written(tmp_path / "a.wav", signal, subtype="FLOAT")
    blocks = list(stream_audio(path, 8000, 999))
    assert max(map(len, blocks)) <= 1100
    np.testing.assert_array_equal(np.concatenate(blocks), signal[:, 0])


@settings(max_examples=60)
@given(content=st.binary(max_size=400), name=st.sampled_from(["a.wav", "a.flac", "a.aiff"]), start=st.integers(0, 120))
def test_hostile_bytes_give_samples_or_a_defined_error(
    content: bytes, name: str, start: int, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.mktemp("hostile") / name
    whole = bytearray(written(path, noise(600)).read_bytes())
    whole[start : start + len(content)] = content
    path.write_bytes(whole)
    outcome = attempt(path)
    if isinstance(outcome, DataError):
        assert name in str(outcome)
        assert outcome.advice
    else:
        assert np.isfinite(outcome).all()
        assert 0 < len(outcome) <= 8 * len(whole)
