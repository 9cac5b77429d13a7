"""Responses of simulated rooms."""

import sys

import numpy as np
import pytest

from armillary.core.errors import MissingExtraError
from armillary.domains.speech.mixing.rooms import draw_room, in_room


def decay_s(response: np.ndarray, rate_hz: int) -> float:
    """Reverberation time from the fall between -5 and -25 dB of the energy that is still to come."""
    energy = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    level_db = 10 * np.log10(energy / energy[0] + 1e-15)
    return 3 * (np.argmax(level_db < -25) - np.argmax(level_db < -5)) / rate_hz


@pytest.fixture(autouse=True)
def _extra() -> None:
    pytest.importorskip("pyroomacoustics")


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
@pytest.mark.parametrize("rt60_s", [0.25, 0.4, 0.8])
def test_a_room_fades_in_the_time_asked_for(rt60_s, rate_hz):
    found = [decay_s(draw_room(seed, (rt60_s, rt60_s), 1, rate_hz).whole[0], rate_hz) for seed in range(4)]
    assert np.mean(found) == pytest.approx(rt60_s, rel=0.2)


def test_the_direct_sound_has_gain_1_and_comes_at_the_same_time_with_and_without_reflections():
    room = draw_room(0, (0.2, 0.2), 3, 8000)
    np.testing.assert_allclose(room.direct.sum(1), 1, atol=0.02)
    for direct, whole in zip(room.direct, room.whole, strict=True):
        assert np.argmax(np.abs(direct)) in (room.lead, room.lead + 1)
        assert direct @ whole == pytest.approx(direct @ direct, rel=0.3)


def test_a_voice_by_the_direct_way_stays_in_its_place_within_one_sample():
    voice = np.zeros(1000, np.float32)
    voice[500] = 1
    room = draw_room(1, (0.3, 0.3), 1, 8000)
    assert np.argmax(in_room(voice, room.direct[0], room.lead)) in (500, 501)
    heard = in_room(voice, room.whole[0], room.lead)
    assert heard.shape == voice.shape
    # What comes before the sound is the high-pass of the simulator, as good as nothing.
    assert np.abs(heard[:450]).max() < 0.05 * np.abs(heard).max()


def test_a_room_is_a_function_of_its_seed():
    one, again, other = (draw_room(seed, (0.1, 0.5), 2, 8000) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.whole, again.whole)
    assert one.rt60_s != other.rt60_s


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'armillary\[rooms\]'"):
        draw_room(0, (0.1, 0.5), 1, 8000)
