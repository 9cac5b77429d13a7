"""Sounds come into the report as files that any browser plays, grouped, cut and labelled."""

import base64
import io
import wave
from pathlib import Path

import numpy as np
import pytest

from armillary.core.domain import Sound
from armillary.pipelines import train
from armillary.pipelines.evaluate import evaluate
from armillary.pipelines.report_sounds import MOST_SECONDS, report_sounds, sound_address, wav_bytes
from armillary.pipelines.reporting import report_runs


def opened(wav: bytes) -> tuple[int, np.ndarray]:
    """Sample rate and samples of a WAV file of one channel in 16 bits."""
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_samples_come_back_within_half_a_step() -> None:
    samples = np.linspace(-1, 1, 999)
    rate, found = opened(wav_bytes(samples, 16000))
    assert rate == 16000
    np.testing.assert_allclose(found / 32767, samples, rtol=0, atol=0.5001 / 32767)


def test_what_is_beyond_full_scale_is_cut_off_and_nan_is_silence() -> None:
    _, found = opened(wav_bytes(np.array([2.0, -np.inf, np.nan, 0.5]), 8000))
    assert found.tolist() == [32767, -32767, 0, 16384]


def test_no_samples_make_an_empty_file() -> None:
    assert len(opened(wav_bytes(np.zeros(0), 8000))[1]) == 0


def test_a_long_sound_is_cut_without_a_click_and_says_so() -> None:
    (group,) = report_sounds({"long": Sound(np.full(8000 * 25, 0.5, np.float32), 8000, "mixture")})
    (player,) = group.sounds
    _, found = opened(player.wav)
    assert len(found) == 8000 * MOST_SECONDS
    assert found[0] == 16384
    assert found[-1] == 0
    assert np.abs(np.diff(found)).max() < 250
    assert player.duration == "first 10 of 25.0 s"


def test_a_short_sound_is_left_as_it_is() -> None:
    samples = np.full(80, 0.5, np.float32)
    (player,) = report_sounds({"short": Sound(samples, 8000, "mixture")})[0].sounds
    assert opened(player.wav)[1].tolist() == [16384] * 80
    assert player.duration == "0.0 s"


def test_sounds_of_one_group_stand_together_in_their_order() -> None:
    tone = np.zeros(8, np.float32)
    given = {f"{group}_{part}": Sound(tone, 8000, part, group) for part in ("in", "out") for group in ("first", "last")}
    found = report_sounds(given)
    assert [group.title for group in found] == ["first", "last"]
    assert [[sound.label for sound in group.sounds] for group in found] == [["in", "out"]] * 2


def test_a_sound_without_a_label_is_called_by_its_name() -> None:
    assert report_sounds({"first_voice": Sound(np.zeros(8, np.float32), 8000, "")})[0].sounds[0].label == "first voice"


def test_several_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(8, 2\); expected one axis"):
        report_sounds({"stereo": Sound(np.zeros((8, 2), np.float32), 8000, "stereo")})


def test_the_address_holds_the_whole_file() -> None:
    wav = wav_bytes(np.zeros(5), 8000)
    head, _, data = sound_address(wav).partition(",")
    assert head == "data:audio/wav;base64"
    assert base64.b64decode(data) == wav


def test_sounds_of_a_domain_are_in_the_report_of_its_run(toy: Path) -> None:
    run = train("toy/simulated", out=toy / "run", quiet=True)
    evaluate([run], baselines=False)
    html = report_runs([run], toy / "report.html").read_text(encoding="utf-8")
    name = run.items("test").ids[0]
    assert html.count("<audio ") == 2
    assert f'aria-label="Wave {name}: the wave"' in html
    assert f'aria-label="Wave {name}: twice"' in html
