"""Windows in, whole voices out: no sample is lost, doubled or on the wrong voice, and memory stays flat."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment
from scipy.signal import lfilter

from armillary.core.errors import DataError
from armillary.domains.speech.joining import Joiner, Piece

Cut = Callable[..., Iterator[xr.Dataset]]


def joined(chunks: Iterable[xr.Dataset]) -> dict[str, list[Piece]]:
    """Pieces of each file; a file read twice is joined twice under one name."""
    joiner, pieces = Joiner(), dict[str, list[Piece]]()
    for chunk in chunks:
        for piece in joiner.add(chunk):
            pieces.setdefault(piece.file, []).append(piece)
    for piece in joiner.finish():
        pieces.setdefault(piece.file, []).append(piece)
    return pieces


def whole(chunks: Iterable[xr.Dataset]) -> np.ndarray:
    """The voices of the only file."""
    (pieces,) = joined(chunks).values()
    ends = np.cumsum([0, *(piece.samples.shape[1] for piece in pieces)])
    assert [piece.start for piece in pieces] == ends[:-1].tolist()
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    return np.concatenate([piece.samples for piece in pieces], axis=1)


def noise(count: int, length: int, seed: int = 0) -> np.ndarray:
    """Whole 256ths, so that sums of voices are exact."""
    return (np.random.default_rng(seed).standard_normal((count, length)) * 256).round().astype(np.float32) / 256


def coloured(length: int, poles: tuple[float, ...], seed: int) -> np.ndarray:
    """Noise of unit power with a spectrum of its own."""
    made = lfilter([1.0], [1.0, *poles], np.random.default_rng(seed).standard_normal(length))
    return (made / made.std()).astype(np.float32)


@pytest.mark.parametrize("hop", [15, 12, 8, 3])
def test_every_length_comes_back_sample_for_sample(cut: Cut, hop: int):
    for length in range(1, 16 + 2 * hop + 2):
        voices = noise(2, length)
        assert_array_equal(whole(cut(voices, hop=hop)), voices, err_msg=f"{length} samples")


@given(
    count=st.integers(1, 5),
    length=st.integers(1, 300),
    window=st.integers(8, 64),
    overlap=st.floats(0.25, 0.8),
    chunk=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_windows_with_their_voices_shuffled_come_out_unswapped(
    cut: Cut, count: int, length: int, window: int, overlap: float, chunk: int, seed: int
):
    # Voices take turns in being loud, so that even the shortest overlap tells them apart.
    window = max(window, 8 * count)
    loud = np.arange(length) % count == np.arange(count)[:, None]
    voices = (np.sign(noise(count, length, seed)) * np.where(loud, 1.0, 0.125)).astype(np.float32)
    out = whole(cut(voices, window=window, hop=round(window * (1 - overlap)), chunk=chunk, seed=seed))
    order = linear_sum_assignment(np.abs(voices[:, None] - out[None]).sum(2))[1]
    assert_array_equal(out[order], voices)


def test_windows_of_any_level_come_out_at_the_level_of_the_mixture(cut: Cut):
    voices = noise(2, 500)
    out = whole(cut(voices, window=100, hop=75, gains=True))
    assert_allclose(out, voices, rtol=1e-5, atol=1e-5)


def test_a_pause_keeps_the_gain_that_speech_had(cut: Cut):
    voices = noise(1, 300)
    voices[:, 100:200] *= 1e-3
    hum = 0.01 * noise(1, 300, 1)[0]
    # The network answers at half the level; the hum is not among its voices.
    chunks = [
        chunk.assign(estimate=chunk["estimate"] / 2)
        for chunk in cut(voices, window=50, hop=40, mixture=voices[0] + hum)
    ]
    out = whole(chunks)
    ratio = np.sqrt(np.square(out).reshape(-1, 50).sum(1) / np.square(voices).reshape(-1, 50).sum(1))
    assert_allclose(ratio, 1, atol=0.05)


def test_a_sum_that_opposes_the_mixture_is_left_as_it_is(cut: Cut):
    voices = noise(1, 40)
    chunks = [chunk.assign(estimate=-3 * chunk["estimate"]) for chunk in cut(voices)]
    assert_array_equal(whole(chunks), -3 * voices)


@pytest.mark.parametrize("count", [2, 3])
def test_voices_do_not_swap_across_a_pause_longer_than_the_overlap(cut: Cut, count: int):
    window, hop, pause = 4000, 3000, 3000
    colours = [(-0.9,), (0.6,), (0.0, 0.7)][:count]
    voices = np.stack([coloured(40_000, poles, seed) for seed, poles in enumerate(colours)])
    for start in (9000, 21_000, 33_000):
        voices[:, start : start + pause] = 0
    for seed in range(6):
        out = whole(cut(voices, window=window, hop=hop, seed=seed))
        order = [int(np.argmax(np.abs(out @ voice))) for voice in voices]
        assert sorted(order) == list(range(count))
        assert_allclose(out[order], voices, atol=1e-4)


def test_the_overlap_alone_would_swap_there(cut: Cut, monkeypatch: pytest.MonkeyPatch):
    from armillary.domains.speech.joining.spectrum import VoicePrints

    monkeypatch.setattr(VoicePrints, "distance_db", lambda mine, other: np.zeros((2, 2)))
    voices = np.stack([coloured(40_000, poles, seed) for seed, poles in enumerate([(-0.9,), (0.6,)])])
    voices[:, 9000:12_000] = 0
    swapped = 0
    for seed in range(6):
        out = whole(cut(voices, window=4000, hop=3000, seed=seed))
        order = [int(np.argmax(np.abs(out @ voice))) for voice in voices]
        swapped += not np.allclose(out[order], voices, atol=1e-4)
    assert swapped > 0


def test_a_voice_that_begins_after_a_pause_gets_the_track_that_nobody_has(cut: Cut):
    voices = np.stack([coloured(30_000, (-0.9,), 0), coloured(30_000, (0.6,), 1)])
    voices[0, 9000:] = 0
    voices[1, :15_000] = 0
    for seed in range(6):
        out = whole(cut(voices, window=4000, hop=3000, seed=seed))
        order = [int(np.argmax(np.abs(out @ voice))) for voice in voices]
        assert sorted(order) == [0, 1]
        assert_allclose(out[order], voices, atol=1e-4)


def test_files_follow_each_other_within_and_across_chunks(cut: Cut):
    files = {f"{n}.wav": noise(2, length, n) for n, length in enumerate([1, 16, 40, 17])}
    rows = [
        chunk.isel(item=[i])
        for name, voices in files.items()
        for chunk in cut(voices, file=name)
        for i in range(chunk.sizes["item"])
    ]
    for size in (1, 2, 5, 100):
        chunks = [xr.concat(rows[i : i + size], "item") for i in range(0, len(rows), size)]
        found = joined(chunks)
        assert list(found) == list(files)
        for name, voices in files.items():
            assert_array_equal(np.concatenate([piece.samples for piece in found[name]], axis=1), voices)
            assert_allclose(np.concatenate([piece.mixture for piece in found[name]]), voices.sum(0), rtol=1e-6)


def test_a_file_that_breaks_off_keeps_what_was_there(cut: Cut):
    broken, good = noise(2, 60), noise(2, 30, 1)
    first = next(cut(broken, file="broken.wav"))
    found = joined([first, *cut(good, file="good.wav")])
    assert_array_equal(np.concatenate([piece.samples for piece in found["broken.wav"]], axis=1), broken[:, :40])
    assert found["broken.wav"][-1].last
    assert_array_equal(np.concatenate([piece.samples for piece in found["good.wav"]], axis=1), good)
    assert_array_equal(whole([first]), broken[:, :40])


def test_the_same_file_given_twice_is_joined_twice(cut: Cut):
    voices = noise(2, 40)
    (pieces,) = joined([*cut(voices), *cut(voices)]).values()
    assert [piece.start for piece in pieces if piece.last] == [24, 24]
    assert_array_equal(
        np.concatenate([piece.samples for piece in pieces], axis=1), np.concatenate([voices] * 2, axis=1)
    )


def test_missing_samples_are_an_error(cut: Cut):
    chunk = next(cut(noise(2, 60)))
    with pytest.raises(DataError, match="a window starts at sample 24, but the one before ends at 16"):
        joined([chunk.isel(item=[0, 2])])


def test_silence_stays_silence_in_its_order(cut: Cut):
    assert_array_equal(whole(cut(np.zeros((3, 100), np.float32))), np.zeros((3, 100)))


def test_no_more_than_a_window_is_held_however_long_the_file(cut: Cut):
    joiner, window, held, samples = Joiner(), 8000, 0, 0
    for chunk in cut(noise(2, 600 * 8000 // 4), window=window, hop=6000, chunk=4):
        for piece in joiner.add(chunk):
            held = max(held, joiner.held)
            samples += piece.samples.shape[1]
            assert piece.samples.shape[1] <= window
    assert held == window
    assert samples == 600 * 8000 // 4
