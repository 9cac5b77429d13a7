"""Raw I/Q, WAV and NumPy files as captures: scales, rates, centre frequencies, and lengths that lie."""

import math
import struct
from typing import Any

import numpy as np
import pytest
import soundfile

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.audio_wav import open_audio_wav
from armillary.domains.modulation.readers.iq_wav import auxi_centre, named_centre, open_iq_wav
from armillary.domains.modulation.readers.npy import open_npy
from armillary.domains.modulation.readers.raw_iq import SUFFIXES, open_raw
from armillary.domains.modulation.readers.samples import BLOCK_SAMPLES, sample_format, stream_samples
from armillary.domains.modulation.settings import ModulationPredict

PLAIN = ModulationPredict()
PAIRS = np.array([[0, 1], [-1, 0.5], [0.25, -0.75]])
Z = PAIRS[:, 0] + 1j * PAIRS[:, 1]


def auxi(centre: int) -> bytes:
    return bytes(32) + struct.pack("<II", centre, 48000) + bytes(28)


def wave(channels: int, rate: int) -> bytes:
    """A WAV file without samples."""
    form = struct.pack("<HHIIHH", 1, channels, rate, 0, 4, 16)
    return b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + form + b"data\0\0\0\0"


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".CF32"])
def test_raw_samples_are_read_by_suffix_at_full_scale_one(make: Any, problems: Any, suffix: str):
    data = {
        "cf32": PAIRS.astype("<f4"),
        "ci16": np.clip(PAIRS * 32768, -32768, 32767).astype("<i2"),
        "ci8": np.clip(PAIRS * 128, -128, 127).astype("i1"),
        "cu8": np.clip(np.round(PAIRS * 127.5 + 127.5), 0, 255).astype("u1"),
    }[SUFFIXES[suffix.lower()]]
    (capture,) = open_raw(make.write(f"a{suffix}", data.tobytes()), PLAIN, problems.append)
    np.testing.assert_allclose(make.samples(capture), Z, atol=0.01)
    assert math.isnan(capture.sample_rate_hz)
    assert not problems


@pytest.mark.parametrize(("dtype", "kind"), [("complex64", "<f4"), ("int16", "<i2"), ("uint8", "u1")])
def test_the_dtype_that_is_told_goes_before_the_suffix(make: Any, problems: Any, dtype: Any, kind: str):
    path = make.write("a.cu8", np.ones(6, kind).tobytes())
    (capture,) = open_raw(path, ModulationPredict(dtype=dtype), problems.append)
    assert len(make.samples(capture)) == 3


@pytest.mark.parametrize(("suffix", "size"), [(".cf32", 8), (".cs16", 4), (".cu8", 2)])
def test_odd_bytes_are_told_with_both_sizes_and_the_whole_samples_are_used(
    make: Any, problems: Any, suffix: str, size: int
):
    path = make.write(f"a{suffix}", bytes(10 * size + 1))
    (capture,) = open_raw(path, PLAIN, problems.append)
    assert len(make.samples(capture)) == 10
    assert f"has {10 * size + 1} bytes, which is no whole number of samples of {size} bytes" in str(problems)
    assert "1 are left over" in str(problems)


def test_a_suffix_that_tells_no_format_asks_for_one(make: Any, problems: Any):
    with pytest.raises(DataError, match=r"suffix '\.bin' tells no format") as error:
        list(open_raw(make.write("a.bin", bytes(8)), PLAIN, problems.append))
    assert "predict.dtype" in error.value.advice


@pytest.mark.parametrize("name", ["cf32_le", "cf64_be", "ci16_be", "ci32_le", "ci8", "cu8", "cu16_le", "cf32"])
def test_every_complex_format_is_streamed_in_blocks(make: Any, name: str):
    form = sample_format(name)
    assert form is not None
    count = 1000
    numbers = np.random.default_rng(0).uniform(-1, 1, 2 * count)
    half = 2.0 ** (8 * form.component.itemsize - 1)
    stored = {"f": numbers, "i": numbers * half, "u": (numbers + 1) * (half - 0.5)}[form.component.kind]
    path = make.write("a", b"head" + stored.astype(form.component).tobytes())
    blocks = list(stream_samples(path, form, 4, count, block=64))
    assert {len(block) for block in blocks} == {64, count % 64}
    np.testing.assert_allclose(np.concatenate(blocks), numbers[::2] + 1j * numbers[1::2], atol=0.02)


def test_real_samples_become_their_analytic_signal(make: Any):
    time = np.arange(4 * BLOCK_SAMPLES // 3)
    path = make.write("a", np.cos(0.7 * time).astype("<f4").tobytes())
    form = sample_format("rf32_le")
    assert form is not None
    found = np.concatenate(list(stream_samples(path, form, 0, len(time))))
    np.testing.assert_allclose(found[100:-100], np.exp(0.7j * time)[100:-100], atol=0.01)
    assert len(found) == len(time)


@pytest.mark.parametrize(
    "name", ["", "c", "cf8", "cf16_le", "xf32_le", "cf32_xe", "cf32_leX", "ri", "cu64_le", "CF32_LE"]
)
def test_what_is_no_datatype_is_none(name: str):
    assert sample_format(name) is None


def test_a_file_that_becomes_shorter_while_it_is_read_gives_what_is_there(make: Any, problems: Any):
    path = make.write("a.cf32", make.tone(100).tobytes())
    (capture,) = open_raw(path, PLAIN, problems.append)
    path.write_bytes(path.read_bytes()[:405])
    (chunk,) = make.cut(capture, problems, length=10)
    assert len(chunk) == 5
    assert "ends after 50 samples, 100 were expected" in str(problems)


def test_numbers_too_large_for_float32_are_left_out_as_infinite(make: Any, problems: Any):
    form = sample_format("cf64_le")
    assert form is not None
    path = make.write("a", np.full(4, 1e300).tobytes())
    assert np.isinf(np.concatenate(list(stream_samples(path, form, 0, 2)))).all()


def test_a_stereo_wav_is_i_and_q_at_its_rate(make: Any, problems: Any):
    values = (make.noise(3000, 2) * 1000).astype(np.int16)
    (capture,) = open_iq_wav(make.wav("a.wav", values, rate=96000), PLAIN, problems.append)
    np.testing.assert_allclose(make.samples(capture), (values[:, 0] + 1j * values[:, 1]) / 32768, atol=1e-6)
    assert capture.sample_rate_hz == 96000
    assert math.isnan(capture.centre_hz)
    assert not problems


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64"])
def test_every_width_and_header_of_wav_is_read(make: Any, problems: Any, subtype: str, form: str):
    path = make.folder / "a.wav"
    soundfile.write(path, np.repeat(PAIRS * 0.9, 100, 0), 48000, subtype=subtype, format=form)
    (capture,) = open_iq_wav(path, PLAIN, problems.append)
    np.testing.assert_allclose(make.samples(capture), np.repeat(Z * 0.9, 100), atol=0.01)
    assert not problems


@pytest.mark.parametrize(
    ("name", "centre"),
    [
        ("SDRSharp_20240101_120000Z_145800000Hz_IQ", 145.8e6),
        ("HDSDR_20240101_120000Z_7100kHz_RF", 7.1e6),
        ("iq 100.3MHz", 100.3e6),
        ("2.4GHz-a", 2.4e9),
        ("at_48000", math.nan),
        ("hz_kHz_IQ", math.nan),
    ],
)
def test_names_tell_the_centre_frequency(name: str, centre: float):
    assert named_centre(name) == pytest.approx(centre, nan_ok=True)


def test_the_auxi_chunk_tells_the_centre_frequency(make: Any, problems: Any):
    path = make.wav("a_145800kHz_IQ.wav", np.ones((20, 2)), auxi=auxi(145_800_123))
    (capture,) = open_iq_wav(path, PLAIN, problems.append)
    assert capture.centre_hz == 145_800_123
    assert auxi_centre('<?xml?><Definition RadioCenterFreq="7100000" />'.encode("utf-16-le")) == 7.1e6
    assert auxi_centre("<SDR><Frequency>7100000</Frequency></SDR>".encode("utf-16-le")) == 7.1e6
    for chunk in (b"", bytes(35), auxi(0), "<SDR><Nothing>0123456789</Nothing></SDR>".encode("utf-16-le")):
        assert math.isnan(auxi_centre(chunk))


def test_a_name_and_an_auxi_chunk_that_differ_are_an_error_that_names_both(make: Any, problems: Any):
    path = make.wav("a_7100kHz_IQ.wav", np.ones((20, 2)), auxi=auxi(145_800_000))
    with pytest.raises(DataError, match=r"145800000 Hz, its name 7100000 Hz"):
        list(open_iq_wav(path, PLAIN, problems.append))


@pytest.mark.parametrize("opener", [open_iq_wav, open_audio_wav])
@pytest.mark.parametrize("claim", [10_000_000, 0xFFFFFFF0])
def test_a_wav_header_that_tells_too_much_is_reported_and_what_is_there_used(
    make: Any, problems: Any, opener: Any, claim: int
):
    channels = 2 if opener is open_iq_wav else 1
    path = make.wav("a.wav", np.ones((500, channels)) * 100, claim=claim)
    (capture,) = opener(path, PLAIN, problems.append)
    assert len(make.samples(capture)) == 500
    assert f"tells {claim // (2 * channels)} samples, but only 500 are there" in str(problems)


def test_a_recorder_that_leaves_the_length_open_is_no_problem(make: Any, problems: Any):
    (capture,) = open_iq_wav(make.wav("a.wav", np.ones((500, 2)) * 100, claim=0xFFFFFFFF), PLAIN, problems.append)
    assert len(make.samples(capture)) == 500
    assert not problems


def test_a_header_that_tells_of_no_samples_is_reported(make: Any, problems: Any):
    (capture,) = open_iq_wav(make.wav("a.wav", np.ones((500, 2)) * 100, claim=0), PLAIN, problems.append)
    assert len(make.samples(capture)) == 0
    assert "its header tells of no samples" in str(problems)


def test_a_wav_that_ends_within_a_sample_is_reported(make: Any, problems: Any):
    path = make.wav("a.wav", np.ones((500, 2)) * 100, claim=0xFFFFFFFF)
    path.write_bytes(path.read_bytes() + b"\x01")
    (capture,) = open_iq_wav(path, PLAIN, problems.append)
    assert len(make.samples(capture)) == 500
    assert "2001 bytes of samples" in str(problems)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"RIFF", "is no WAVE file"),
        (b"RIFF\0\0\0\0WAVE", "no format chunk or no data chunk"),
        (b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd", "no format chunk"),
        (b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 20_000, "no format chunk"),
        (wave(2, 0), "rate of 0 Hz"),
        (wave(7, 8), "7 channels"),
    ],
)  # fmt: skip
def test_a_damaged_wav_header_is_a_data_error(make: Any, problems: Any, content: bytes, told: str):
    with pytest.raises(DataError, match=told):
        list(open_iq_wav(make.write("a.wav", content), PLAIN, problems.append))


def test_a_wav_of_an_unknown_code_is_a_data_error_when_it_is_read(make: Any, problems: Any):
    data = bytearray(make.wav("a.wav", np.ones((500, 2))).read_bytes())
    data[20:22] = b"\x99\x99"
    (capture,) = open_iq_wav(make.write("b.wav", bytes(data)), PLAIN, problems.append)
    with pytest.raises(DataError, match="cannot be decoded"):
        make.samples(capture)


def test_a_numpy_file_of_complex_samples_is_mapped(make: Any, problems: Any):
    path = make.folder / "a.npy"
    np.save(path, make.tone(1000).astype(np.complex128))
    (capture,) = open_npy(path, PLAIN, problems.append)
    np.testing.assert_array_equal(make.samples(capture), make.tone(1000))


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((2, 2), np.complex64), np.array([{}], object)])
def test_a_numpy_file_of_anything_else_is_a_data_error(make: Any, problems: Any, array: np.ndarray):
    path = make.folder / "a.npy"
    np.save(path, array)
    with pytest.raises(DataError, match=r"complex|mapped"):
        list(open_npy(path, PLAIN, problems.append))


def test_a_numpy_header_that_lies_is_a_data_error(make: Any, problems: Any):
    path = make.folder / "a.npy"
    np.save(path, make.tone(1000))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="is no NumPy array that can be mapped"):
        list(open_npy(path, PLAIN, problems.append))
