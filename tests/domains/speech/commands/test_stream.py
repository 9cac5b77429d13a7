"""`armillary speech stream` on files and pipes."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from numpy.testing import assert_allclose, assert_array_equal

from armillary.core.config.mixers import Mamba2Settings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.domain import LoadedRun
from armillary.core.errors import ConfigError, DataError, RunError
from armillary.domains.speech.build import build
from armillary.domains.speech.commands.stream import main
from armillary.domains.speech.settings import SpeechData, SpeechPredict, SpeechRun
from armillary.domains.speech.systems.settings import FilterbankSettings, MaskTrunkSettings

Start = Callable[..., int]


def loaded(causal: bool = True, **predict: object) -> LoadedRun:
    torch.manual_seed(0)
    mixer = Mamba2Settings(state=4, head_width=8, bidirectional=not causal)
    model = MaskTrunkSettings(
        filterbank=FilterbankSettings(filters=16, kernel=16, stride=8),
        trunk=TrunkSettings(width=16, pattern=(mixer,), depth=1),
        positions=False,
        norm="step" if causal else "global",
    )
    config = SpeechRun(
        recipe="speech/none", data=SpeechData(card="none"), model=model, predict=SpeechPredict.model_validate(predict)
    )
    return LoadedRun("mine", config, build(config).eval())


def start(run: LoadedRun, *arguments: object) -> int:
    return main(lambda folder: run, [str(argument) for argument in arguments])


def voices_of(run: LoadedRun, recording: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return run.model(torch.from_numpy(recording)[None])[0].numpy()


@pytest.fixture
def recording() -> np.ndarray:
    return np.random.default_rng(0).integers(-8000, 8000, 1777).astype(np.float32) / 32768


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], io.BytesIO]:
    """Puts bytes on stdin; gives what is written to stdout."""

    def put(data: bytes) -> io.BytesIO:
        sink = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=sink))
        return sink

    return put


@pytest.mark.parametrize("hop_ms", [20, 1, 0.125, 500])
def test_a_file_gives_the_voices_of_the_whole(
    tmp_path: Path, recording: np.ndarray, capsys: pytest.CaptureFixture[str], hop_ms: float
):
    run, path = loaded(), tmp_path / "talk.wav"
    soundfile.write(path, recording[:400], 8000, "FLOAT")
    assert start(run, "mine", path, "--out", tmp_path / "out", "--hop-ms", hop_ms) == 0
    expected = voices_of(run, recording[:400])
    for voice in range(2):
        heard, rate = soundfile.read(tmp_path / "out" / f"talk-{voice + 1}.wav", dtype="float32")
        assert rate == 8000
        assert_allclose(heard, expected[voice], atol=1e-5 * np.abs(expected).max())
    said = capsys.readouterr().out
    assert f"algorithmic latency {hop_ms + 1.875:.2f} ms: {hop_ms:.2f} ms of a hop, 1.88 ms of the network" in said
    assert f"{-(-400 // round(8 * hop_ms))} hops on 1 thread(s): mean " in said
    assert "0.05 s of signal, real-time factor " in said


def test_settings_of_prediction_choose_channel_and_format(tmp_path: Path, recording: np.ndarray):
    run, path = loaded(channel=1, format="flac", level="peak"), tmp_path / "talk.wav"
    soundfile.write(path, np.stack([0 * recording, recording], 1), 8000, "FLOAT")
    assert start(run, "mine", path, "--out", tmp_path / "out") == 0
    expected = voices_of(run, recording)
    expected *= min(1.0, 0.99 / np.abs(expected).max())
    heard = [soundfile.read(tmp_path / "out" / f"talk-{voice}.flac", dtype="float32")[0] for voice in (1, 2)]
    assert_allclose(np.stack(heard), expected, atol=1e-5)


def test_a_file_of_another_rate_is_resampled(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    soundfile.write(tmp_path / "talk.wav", np.zeros(44_100, np.float32), 44_100)
    assert start(loaded(), "mine", tmp_path / "talk.wav", "--out", tmp_path / "out") == 0
    assert soundfile.info(tmp_path / "out" / "talk-2.wav").frames == 8000
    assert "at 8000 Hz" in capsys.readouterr().out


def test_raw_samples_go_through_a_pipe(
    recording: np.ndarray, piped: Callable[[bytes], io.BytesIO], capsys: pytest.CaptureFixture[str]
):
    run = loaded()
    run.model.network.gain.fill_(1 / (2 * np.abs(voices_of(run, recording)).max()))
    # Half a sample at the end is no sample.
    sink = piped((recording * 32768).astype("<i2").tobytes() + b"x")
    assert start(run, "mine", "-", "--hop-ms", "10") == 0
    found = np.frombuffer(sink.getvalue(), "<i2").reshape(-1, 2).T
    assert_allclose(found, voices_of(run, recording) * 32768, atol=0.6)
    told = capsys.readouterr().err
    assert "23 hops on 1 thread(s)" in told
    assert "cut off" not in told


def test_voices_beyond_full_scale_are_cut_off_in_a_pipe_and_told(
    recording: np.ndarray, piped: Callable[[bytes], io.BytesIO], capsys: pytest.CaptureFixture[str]
):
    run = loaded()
    run.model.network.gain.fill_(2 / np.abs(voices_of(run, recording)).max())
    sink = piped((recording * 32768).astype("<i2").tobytes())
    assert start(run, "mine", "-") == 0
    found = np.frombuffer(sink.getvalue(), "<i2").reshape(-1, 2).T
    expected = np.clip(voices_of(run, recording), -1, 32767 / 32768)
    assert_allclose(found, expected * 32768, atol=0.7)
    count = int((np.abs(voices_of(run, recording)) > 1).sum())
    assert f"{count} samples of the voices were beyond full scale" in capsys.readouterr().err


def test_an_empty_pipe_gives_nothing(piped: Callable[[bytes], io.BytesIO], capsys: pytest.CaptureFixture[str]):
    sink = piped(b"")
    assert start(loaded(), "mine", "-") == 0
    assert sink.getvalue() == b""
    assert "0.00 s of signal, real-time factor unknown" in capsys.readouterr().err


def test_a_network_that_sees_later_samples_is_refused(tmp_path: Path):
    with pytest.raises(
        RunError, match=r"sees later samples, so it cannot stream[^$]*speech/ssm-causal[^$]*predict mine"
    ):
        start(loaded(causal=False), "mine", "talk.wav", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "--out", "x"], "give --out DIR with a file"),
        (["talk.wav"], "give --out DIR with a file"),
        (["-", "--hop-ms", "0"], "expected numbers above 0"),
        (["-", "--threads", "0"], "expected numbers above 0"),
        (["-", "--hop-ms", "nan"], "--hop-ms nan .*expected numbers above 0"),
        (["-", "--hop-ms", "inf"], "hops of 60000 ms at most"),
        (["talk.wav", "--out", "voices.wav"], r"--out voices\.wav: expected a folder"),
    ],
)
def test_wrong_options_are_told_before_the_run_is_opened(arguments: list[str], message: str):
    def never(folder: Path) -> LoadedRun:
        raise AssertionError

    with pytest.raises(ConfigError, match=message):
        main(never, ["mine", *arguments])


def test_a_file_that_is_no_sound_is_told(tmp_path: Path):
    (tmp_path / "talk.wav").write_text("no sound")
    with pytest.raises(DataError, match=r"talk\.wav"):
        start(loaded(), "mine", tmp_path / "talk.wav", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_help_needs_no_run(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        start(loaded(), "--help")
    assert done.value.code == 0
    assert "armillary speech stream" in capsys.readouterr().out


def test_a_stream_leaves_the_recording_as_it_is(tmp_path: Path, recording: np.ndarray):
    soundfile.write(tmp_path / "talk.wav", recording, 8000, "FLOAT")
    start(loaded(), "mine", tmp_path / "talk.wav", "--out", tmp_path)
    assert_array_equal(soundfile.read(tmp_path / "talk.wav", dtype="float32")[0], recording)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk-1.wav", "talk-2.wav", "talk.wav"]
