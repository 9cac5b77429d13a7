"""New lists of mixtures."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.errors import ConfigError, DataError
from armillary.domains.speech.mixing.choose import Plan, choose, deal
from armillary.domains.speech.mixing.levels import loudness_lufs
from armillary.domains.speech.mixing.lists import Listed
from armillary.domains.speech.mixing.render import Roots, render
from armillary.domains.speech.mixing.sources import scan_noises, scan_voices
from armillary.domains.speech.settings import DynamicSettings, RoomSettings

RATE_HZ = 8000


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Roots:
    """Four speakers with two utterances each, and two noises."""
    folder = tmp_path_factory.mktemp("roots")
    rng = np.random.default_rng(0)
    for place in range(8):
        path = folder / "voices" / f"s{place % 4}" / f"u{place}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(6000 + 500 * place), RATE_HZ)
    for place in range(2):
        path = folder / "noise" / f"n{place}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(40_000), 16_000)
    return Roots(folder / "voices", folder / "noise")


def nothing(error: DataError) -> None:
    pytest.fail(str(error))


def chosen(roots: Roots, count: int = 6, voices: int = 2, report: object = nothing, **sound: object) -> list[Listed]:
    plan = Plan(voices, RATE_HZ, "min", DynamicSettings(**sound), 3)
    spoken, noises = scan_voices(roots.voices, "", nothing), scan_noises(roots.noises or Path(), "", nothing)
    return choose(plan, "train", count, spoken, noises, roots, report)


@given(st.integers(3, 40), st.lists(st.floats(0.01, 1), min_size=1, max_size=3), st.integers(0, 5))
def test_things_are_dealt_whole_once_and_to_every_split(count, shares, seed):
    named = {str(place): share for place, share in enumerate(shares)}
    dealt = deal(list(range(count)), named, seed, "things")
    assert sorted(thing for part in dealt.values() for thing in part) == list(range(count))
    assert all(dealt.values())
    assert dealt == deal(list(range(count)), named, seed, "things")


def test_shares_are_kept_where_there_are_enough_things():
    dealt = deal(list(range(100)), {"train": 0.8, "dev": 0.1, "test": 0.1}, 0, "things")
    assert {name: len(part) for name, part in dealt.items()} == {"train": 80, "dev": 10, "test": 10}


def test_mixtures_have_different_speakers_and_no_set_of_utterances_comes_twice(roots: Roots):
    found = chosen(roots, 20)
    assert len(found) == 20
    assert all(len(set(one.speakers)) == 2 for one in found)
    assert len({frozenset(one.paths) for one in found}) == 20
    assert found == chosen(roots, 20)
    assert chosen(roots, 5) == found[:5]


def test_there_are_fewer_mixtures_where_not_so_many_differ(roots: Roots):
    # Four speakers with two utterances: 6 pairs of speakers, 24 pairs of utterances.
    assert len(chosen(roots, 100)) == 24


def test_gains_give_the_loudness_of_the_rule(roots: Roots):
    found = chosen(roots)
    levels = []
    for one in found:
        parts = render(one, roots, RATE_HZ, "max")
        levels += [loudness_lufs(voice[voice != 0], RATE_HZ) for voice in parts.sources]
        assert parts.noise is not None
        # Measured at 16 kHz, read at 8 kHz: white noise loses half of its power.
        assert -43 < loudness_lufs(parts.noise, RATE_HZ) < -30
    assert -33.3 < min(levels) < max(levels) < -24.7


def test_by_decibel_the_noisy_sum_is_at_full_scale(roots: Roots):
    for one in chosen(roots, levels="decibel"):
        parts = render(one, roots, RATE_HZ, "min")
        loudest = max(np.abs(parts.mixtures()["mix_both"]).max(), np.abs(parts.sources).max())
        assert loudest == pytest.approx(0.9, abs=1e-4)


def test_loud_sums_are_brought_down_by_one_factor(roots: Roots):
    for one in chosen(roots, loudness_lufs=(-6.0, -5.0)):
        both = render(one, roots, RATE_HZ, "max").mixtures()["mix_both"]
        assert np.abs(both).max() == pytest.approx(0.9, abs=1e-3)


def test_a_room_is_told_by_its_seed_and_time(roots: Roots):
    pytest.importorskip("pyroomacoustics")
    (one, *_) = chosen(roots, 2, voices=3, room=RoomSettings(rt60_s=(0.2, 0.3)))
    assert one.room_seed is not None
    assert 0.2 <= one.rt60_s <= 0.3
    direct, reverberant = (render(one, roots, RATE_HZ, "min", target) for target in ("direct", "reverberant"))
    np.testing.assert_array_equal(direct.heard, reverberant.heard)
    np.testing.assert_array_equal(reverberant.heard, reverberant.sources)
    assert not np.allclose(direct.heard, direct.sources, atol=1e-3)


def test_a_recording_that_cannot_be_read_is_told_once_and_not_drawn_again(roots: Roots, tmp_path: Path):
    for path in roots.voices.rglob("*.wav"):
        copy = tmp_path / path.relative_to(roots.voices)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    other = Roots(tmp_path, roots.noises)
    spoken = scan_voices(tmp_path, "", nothing)
    bad = tmp_path / spoken[0].path
    samples, _ = soundfile.read(bad, dtype="float32")
    samples[10] = np.nan
    soundfile.write(bad, samples, RATE_HZ, subtype="FLOAT")
    problems: list[DataError] = []
    found = choose(Plan(2, RATE_HZ, "min", DynamicSettings(), 3), "train", 100, spoken, [], other, problems.append)
    assert len(problems) == 1
    assert "not finite" in str(problems[0])
    assert len(found) == 18
    assert all(spoken[0].path not in one.paths for one in found)


def test_fewer_speakers_than_voices_are_refused(roots: Roots):
    with pytest.raises(ConfigError, match="train: mixtures of 5 voices need as many speakers, got 4"):
        chosen(roots, voices=5)
