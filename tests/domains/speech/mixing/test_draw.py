"""Mixtures drawn from pools: functions of (seed, epoch, index), with the levels and lengths that are asked for."""

import math
import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest

from armillary.core.errors import ConfigError, DataError
from armillary.domains.speech.mixing.draw import MixtureDraw
from armillary.domains.speech.mixing.levels import active_level_db, loudness_lufs
from armillary.domains.speech.settings import DynamicSettings, RoomSettings, SpeechData

RATE_HZ = 8000


@dataclass
class Pool:
    """Recordings in memory, some of which cannot be read."""

    signals: list[np.ndarray]
    speaker: np.ndarray
    broken: tuple[int, ...] = ()
    sample_rate_hz: int = RATE_HZ
    loaded: list[int] = field(default_factory=list)

    @property
    def ids(self) -> np.ndarray:
        return np.arange(len(self.signals)).astype(np.str_)

    @property
    def sex(self) -> np.ndarray:
        return np.full(len(self.signals), "")

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(signal) for signal in self.signals], np.int64)

    def load(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        self.loaded.append(index)
        if index in self.broken:
            raise DataError("cannot be read", path=f"{index}.wav")
        return self.signals[index][start:stop]


def noisy(seconds: float, seed: int, level: float = 0.05) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def pool(speakers: int = 4, each: int = 2, seconds: float = 3.0, **rest: object) -> Pool:
    signals = [noisy(seconds + 0.1 * i, i) for i in range(speakers * each)]
    return Pool(signals, np.repeat([f"s{i}" for i in range(speakers)], each), **rest)


def draw(
    spoken: Pool, noises: Pool | None = None, seed: int = 0, dynamic: object = None, **data: object
) -> MixtureDraw:
    settings = SpeechData(card="x", dynamic=dynamic or DynamicSettings(), **data)
    return MixtureDraw(settings, spoken, noises, seed)


def test_a_key_gives_the_same_mixture_whatever_was_asked_before():
    one, other = draw(pool()), draw(pool())
    first = one(3, 5)
    for index in range(4):
        other(1, index)
    again = other(3, 5)
    np.testing.assert_array_equal(first.mixture, again.mixture)
    np.testing.assert_array_equal(first.sources, again.sources)
    assert first.speakers == again.speakers


def test_epochs_indices_and_seeds_give_other_mixtures():
    drawn = [draw(pool())(1, 0), draw(pool())(1, 1), draw(pool())(2, 0), draw(pool(), seed=1)(1, 0)]
    assert len({one.mixture.tobytes() for one in drawn}) == 4


@pytest.mark.parametrize("voices", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", ["loudness", "decibel"])
def test_the_mixture_is_the_sum_of_voices_and_noise(voices, levels):
    drawn = draw(pool(), pool(1, 1), voices=voices, noise=True, dynamic=DynamicSettings(levels=levels))(1, 0)
    assert drawn.sources.shape == (voices, 2 * RATE_HZ)
    assert drawn.mixture.dtype == drawn.sources.dtype == np.float32
    np.testing.assert_allclose(drawn.mixture, drawn.sources.sum(0) + drawn.noise, atol=1e-6)
    assert np.abs(drawn.noise).max() > 0
    assert np.abs(drawn.mixture).max() <= 0.9001


def test_voices_are_of_different_speakers_unless_one_may_come_twice():
    apart, together = draw(pool(2)), draw(pool(2), dynamic=DynamicSettings(same_speaker=True))
    assert all(len(set(apart(1, index).speakers)) == 2 for index in range(10))
    assert {len(set(together(1, index).speakers)) for index in range(20)} == {1, 2}


def test_whole_voices_have_the_loudness_drawn_for_them():
    drawer = draw(pool(), segment_s=None, mode="max")
    levels = [loudness_lufs(voice, RATE_HZ) for index in range(10) for voice in drawer(1, index).sources]
    assert min(levels) > -33.2
    assert max(levels) < -24.8
    assert np.ptp(levels) > 4


def test_by_decibel_the_first_voice_is_the_louder_one_and_the_peak_is_nine_tenths():
    drawer = draw(pool(), segment_s=None, mode="max", dynamic=DynamicSettings(levels="decibel"))
    for index in range(10):
        drawn = drawer(1, index)
        first, second = (active_level_db(voice, RATE_HZ) for voice in drawn.sources)
        assert -0.2 < first - second < 5.2
        assert max(np.abs(drawn.mixture).max(), np.abs(drawn.sources).max()) == pytest.approx(0.9, abs=1e-4)


def test_the_noise_has_the_loudness_drawn_for_it():
    drawer = draw(pool(), pool(1, 1, 10.0), noise=True)
    levels = [loudness_lufs(drawer(1, index).noise, RATE_HZ) for index in range(10)]
    assert min(levels) > -38.5
    assert max(levels) < -29.5


def test_a_noise_that_is_too_short_goes_on_with_itself():
    drawn = draw(pool(), Pool([noisy(0.3, 0)], np.array(["n"])), noise=True)(1, 0)
    assert np.abs(drawn.noise[-1000:]).max() > 0


def test_whole_mixtures_end_with_the_shortest_or_the_longest_voice():
    voices = Pool([noisy(1.0, 0), noisy(2.5, 1)], np.array(["a", "b"]))
    assert draw(voices, segment_s=None, mode="min")(1, 0).mixture.shape == (RATE_HZ,)
    longest = draw(voices, segment_s=None, mode="max")(1, 0)
    assert longest.mixture.shape == (2.5 * RATE_HZ,)
    short = longest.sources[longest.speakers.index("a")]
    assert not short[RATE_HZ:].any()


def test_clips_shorter_than_the_segment_are_joined_until_it_is_full():
    clips = pool(2, 10, 0.2)
    drawn = draw(clips)(1, 0)
    assert drawn.mixture.shape == (2 * RATE_HZ,)
    for voice in drawn.sources:
        silent = np.mean(voice == 0)
        assert 0.02 < silent < 0.6
        assert voice[-RATE_HZ // 2 :].any()


def test_in_max_mode_a_clip_shorter_than_the_segment_is_padded():
    drawn = draw(Pool([noisy(0.5, 0), noisy(5.0, 1)], np.array(["a", "b"])), mode="max")(1, 0)
    short = drawn.sources[drawn.speakers.index("a")]
    assert drawn.mixture.shape == (2 * RATE_HZ,)
    assert not short[RATE_HZ // 2 :].any()


def test_recordings_of_one_sample_are_mixed_as_well():
    ones = Pool([np.full(1, 0.5, np.float32), np.full(1, -0.2, np.float32)], np.array(["a", "b"]))
    assert draw(ones, segment_s=None)(1, 0).mixture.shape == (1,)


def test_silent_recordings_stay_silent_and_finite():
    silent = Pool([np.zeros(20_000, np.float32)] * 2, np.array(["a", "b"]))
    for levels in ("loudness", "decibel"):
        drawn = draw(silent, dynamic=DynamicSettings(levels=levels))(1, 0)
        assert not drawn.mixture.any()


def test_a_voice_played_faster_is_higher():
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    tones = [(0.1 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)] * 2
    faster = draw(Pool(tones, np.array(["a", "b"])), dynamic=DynamicSettings(speed=(1.25, 1.25)))(1, 0)
    spectrum = np.abs(np.fft.rfft(faster.sources[0]))
    assert faster.mixture.shape == (2 * RATE_HZ,)
    assert np.argmax(spectrum) / 2 == pytest.approx(1250, abs=2)


def test_a_voice_turned_round_runs_backwards():
    ramps = [np.linspace(0, 0.5, 3 * RATE_HZ, dtype=np.float32)] * 2
    turned = draw(Pool(ramps, np.array(["a", "b"])), dynamic=DynamicSettings(reverse=1.0))(1, 0)
    assert (np.diff(turned.sources[0]) <= 0).all()


def test_parts_with_speech_are_preferred_to_silent_ones():
    # Speech in a fifth of the recording: a part taken blindly would be silent most of the time.
    mostly = np.zeros(20 * RATE_HZ, np.float32)
    mostly[8 * RATE_HZ : 12 * RATE_HZ] = noisy(4, 0)
    drawer = draw(Pool([mostly, mostly.copy()], np.array(["a", "b"])), segment_s=1.0)
    sounding = [voice.any() for index in range(40) for voice in drawer(1, index).sources]
    assert np.mean(sounding) > 0.5


def test_recordings_that_cannot_be_read_are_passed_over_and_told_once():
    drawer = draw(pool(3, 2, broken=(1, 4)))
    drawn = [drawer(1, index) for index in range(20)]
    assert all(np.isfinite(one.mixture).all() for one in drawn)
    assert {str(problem).split(":")[0] for problem in drawer.problems} == {"1.wav", "4.wav"}
    assert len(drawer.problems) == 2


def test_when_nothing_can_be_read_the_last_problem_is_told():
    with pytest.raises(DataError, match=r"in a row had a recording that cannot be read\n.*\.wav"):
        draw(pool(2, 1, broken=(0, 1)))(1, 0)


def test_the_level_of_a_recording_is_measured_once():
    voices = pool(2, 1)
    drawer = draw(voices)
    for index in range(5):
        drawer(1, index)
    assert voices.loaded.count(0) == 5 + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"voices": 5}, "mixtures of 5 voices need as many speakers, got 4"),
        ({"noise": True}, "no noise to mix in"),
        ({"sample_rate_hz": 16_000}, "given at 8000 Hz, the run asks for 16000"),
    ],
)
def test_what_the_pools_cannot_give_is_said_at_the_beginning(arguments, message):
    with pytest.raises(ConfigError, match=message):
        draw(pool(), **arguments)


def test_a_copy_for_another_process_draws_the_same():
    drawer = draw(pool(), dynamic=DynamicSettings(levels="decibel"))
    drawer(1, 0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(drawer))(2, 3).mixture, drawer(2, 3).mixture)


def test_in_a_room_voices_are_heard_with_reflections_and_found_as_asked():
    pytest.importorskip("pyroomacoustics")
    direct = draw(pool(), dynamic=DynamicSettings(room=RoomSettings()))(1, 0)
    reverberant = draw(pool(), dynamic=DynamicSettings(room=RoomSettings(target="reverberant")))(1, 0)
    np.testing.assert_allclose(direct.mixture, reverberant.mixture, atol=1e-6)
    np.testing.assert_allclose(reverberant.mixture, reverberant.sources.sum(0), atol=1e-6)
    assert np.abs(direct.mixture - direct.sources.sum(0)).max() > 0.01
    # The straight voice is in the mixture, in its place.
    for voice in direct.sources:
        assert direct.mixture @ voice > 0.5 * (voice @ voice)


def test_a_room_comes_as_often_as_asked():
    pytest.importorskip("pyroomacoustics")
    drawer = draw(pool(), dynamic=DynamicSettings(room=RoomSettings(probability=0.3)))
    drawn = [drawer(1, index) for index in range(30)]
    dry = [math.isclose(float(np.abs(one.mixture - one.sources.sum(0)).max()), 0, abs_tol=1e-5) for one in drawn]
    assert 10 < sum(dry) < 30


def test_some_mixtures_have_fewer_voices_and_what_remains_is_as_before():
    plain, fewer = (draw(pool(), voices=3, dynamic=DynamicSettings(fewer=chance), segment_s=1.0) for chance in (0, 0.5))
    counts = []
    for index in range(60):
        whole, some = plain(1, index), fewer(1, index)
        sounding = (some.sources != 0).any(1)
        counts.append(int(sounding.sum()))
        assert sounding[: counts[-1]].all(), "silent voices stand last"
        np.testing.assert_allclose(some.mixture, some.sources.sum(0) + some.noise, atol=1e-6)
        assert some.speakers == whole.speakers
    assert set(counts) == {1, 2, 3}
    assert 20 < counts.count(3) < 40
