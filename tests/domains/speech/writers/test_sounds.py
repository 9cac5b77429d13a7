"""Folders of voices and single sound files: what is heard, what they are called, and that each is whole or absent."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from armillary.core.errors import DataError
from armillary.domains.speech.write import STREAMS, write
from armillary.domains.speech.writers import spool as spools

Predict = Callable[..., Iterator[xr.Dataset]]


def voices(length: int, count: int = 2, seed: int = 0) -> np.ndarray:
    """Whole 256ths below full scale, so that sums are exact."""
    return np.random.default_rng(seed).integers(-60, 61, (count, length)).astype(np.float32) / 256


def stream(path: Path, *files: Iterator[xr.Dataset]) -> None:
    with STREAMS[path.suffix](path) as append:
        for chunks in files:
            for chunk in chunks:
                append(chunk)


def heard(path: Path) -> np.ndarray:
    """Channels (c, n) of a file."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("length", [1, 999, 1000, 1001, 1750, 5003])
@pytest.mark.parametrize("form", ["wav", "flac"])
def test_a_folder_gets_one_file_a_voice_sample_for_sample(tmp_path: Path, predict: Predict, length: int, form: str):
    made = voices(length, 3)
    stream(tmp_path / "out", predict("in/talk.mp3", made, format=form))
    assert names(tmp_path / "out") == [f"talk-{voice}.{form}" for voice in (1, 2, 3)]
    for voice in range(3):
        assert_array_equal(heard(tmp_path / "out" / f"talk-{voice + 1}.{form}"), made[voice : voice + 1])


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_sound_file_has_a_channel_for_each_voice(tmp_path: Path, predict: Predict, suffix: str):
    made = voices(2500, 4)
    stream(tmp_path / f"all{suffix}", predict("talk.wav", made))
    assert_array_equal(heard(tmp_path / f"all{suffix}"), made)
    about = soundfile.info(tmp_path / f"all{suffix}")
    assert about.samplerate == 8000
    assert about.subtype == {".wav": "FLOAT", ".flac": "PCM_24"}[suffix]
    assert names(tmp_path) == [f"all{suffix}"]


def test_one_voice_gives_one_channel(tmp_path: Path, predict: Predict):
    made = voices(30, 1)
    stream(tmp_path / "clean.wav", predict("noisy.wav", made))
    stream(tmp_path / "out", predict("noisy.wav", made))
    assert_array_equal(heard(tmp_path / "clean.wav"), made)
    assert_array_equal(heard(tmp_path / "out" / "noisy-1.wav"), made)


def test_a_wav_file_keeps_samples_beyond_full_scale(tmp_path: Path, predict: Predict):
    made = 8 * voices(100)
    stream(tmp_path / "loud.wav", predict("talk.wav", made))
    assert_array_equal(heard(tmp_path / "loud.wav"), made)


@pytest.mark.parametrize(("name", "level"), [("loud.flac", "mixture"), ("loud.flac", "peak"), ("loud.wav", "peak")])
def test_voices_beyond_full_scale_are_lowered_together(tmp_path: Path, predict: Predict, name: str, level: str):
    made = 8 * voices(5000)
    stream(tmp_path / name, predict("talk.wav", made, level=level))
    found = heard(tmp_path / name)
    assert np.abs(found).max() == pytest.approx(0.99, abs=1e-6)
    assert_allclose(found, made * (0.99 / np.abs(made).max()), atol=2e-7)


def test_peak_leaves_quiet_voices_as_they_are(tmp_path: Path, predict: Predict):
    made = voices(50)
    stream(tmp_path / "out", predict("talk.wav", made, level="peak"))
    assert_array_equal(heard(tmp_path / "out" / "talk-2.wav"), made[1:])


def test_files_of_one_name_get_names_of_their_own(tmp_path: Path, predict: Predict):
    files = ["a/talk.wav", "b/talk.wav", "b/talk.flac", "c/Talk.wav", "a/talk.wav", "b/talk.ogg"]
    made = [voices(20, 1, seed) for seed in range(6)]
    stream(tmp_path / "out", *(predict(file, made[n]) for n, file in enumerate(files)))
    assert names(tmp_path / "out") == [
        "b-talk-1.wav", "b-talk.flac-1.wav", "b-talk.ogg-1.wav", "c-Talk-1.wav", "talk-1.wav",
    ]  # fmt: skip
    assert_array_equal(heard(tmp_path / "out" / "b-talk-1.wav"), made[1])
    assert_array_equal(heard(tmp_path / "out" / "c-Talk-1.wav"), made[3])
    assert_array_equal(heard(tmp_path / "out" / "talk-1.wav"), made[4])


def test_names_too_long_for_a_disk_are_cut_and_stay_different(tmp_path: Path, predict: Predict):
    long = "é" * 124
    made = [voices(20, 1, seed) for seed in range(2)]
    stream(tmp_path / "out", *(predict(f"{long}{end}.wav", made[end]) for end in range(2)))
    found = names(tmp_path / "out")
    assert len(found) == 2
    assert all(name.endswith("-1.wav") and len(name.encode()) < 255 for name in found)
    assert_array_equal(heard(tmp_path / "out" / f"{'é' * 100}-1.wav"), made[0])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_same_voices_are_the_same_bytes_at_any_time(tmp_path: Path, predict: Predict, count: int):
    # libsndfile puts the time into the chunk PEAK of a WAV file of floats.
    stream(tmp_path / "all.wav", predict("talk.wav", voices(2000, count)))
    head = (tmp_path / "all.wav").read_bytes()[:200]
    place = head.index(b"PEAK")
    assert head[place + 12 : place + 16] == bytes(4)
    assert soundfile.info(tmp_path / "all.wav").frames == 2000


def test_other_files_of_the_folder_stay(tmp_path: Path, predict: Predict):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "talk-1.wav").write_text("of an earlier run")
    stream(tmp_path, predict("elsewhere/talk.wav", voices(20)))
    assert names(tmp_path) == ["notes.txt", "talk-1.wav", "talk-2.wav"]
    assert heard(tmp_path / "talk-1.wav").shape == (1, 20)


def test_finished_files_stay_when_a_later_one_fails(tmp_path: Path, predict: Predict):
    def chunks() -> Iterator[xr.Dataset]:
        yield from predict("good.wav", voices(3000))
        yield next(predict("bad.wav", voices(3000)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(tmp_path / "out", chunks())
    assert names(tmp_path / "out") == ["good-1.wav", "good-2.wav"]


def test_a_sound_file_of_a_stream_that_fails_does_not_appear(tmp_path: Path, predict: Predict):
    (tmp_path / "all.wav").write_text("before")
    with pytest.raises(DataError, match=r"can hold the voices of one file, but a\.wav and b\.wav are separated"):
        stream(tmp_path / "all.wav", predict("a.wav", voices(3000)), predict("b.wav", voices(3000)))
    assert (tmp_path / "all.wav").read_text() == "before"
    assert names(tmp_path) == ["all.wav"]


def test_files_beside_each_other_that_differ_in_their_suffix_keep_it(tmp_path: Path, predict: Predict):
    stream(tmp_path / "out", *(predict(f"in/talk{suffix}", voices(20, 1)) for suffix in (".flac", ".wav", ".wav.wav")))
    assert names(tmp_path / "out") == ["talk-1.wav", "talk.wav-1.wav", "talk.wav.wav-1.wav"]


@pytest.mark.parametrize("order", [("talk-1.wav", "talk.wav"), ("talk.wav", "talk-1.wav")])
@pytest.mark.parametrize("how", ["together", "apart"])
def test_voices_never_replace_a_file_to_separate(tmp_path: Path, predict: Predict, order: tuple[str, ...], how: str):
    for name in order:
        (tmp_path / name).write_text("recording")
    # In a chunk of its own the second recording is known beforehand by the attribute alone.
    told = {"kept": [str(tmp_path / "talk-1.wav")]} if how == "apart" else {}
    chunks = [next(predict(str(tmp_path / name), voices(20), **told)) for name in order]
    stream(tmp_path, iter(chunks if how == "apart" else [xr.concat(chunks, "item")]))
    assert [(tmp_path / name).read_text() for name in order] == ["recording"] * 2
    assert len(names(tmp_path)) == 6


def test_a_sound_file_never_replaces_the_file_to_separate(tmp_path: Path, predict: Predict):
    (tmp_path / "talk.wav").write_text("recording")
    with pytest.raises(DataError, match="is the file to separate, which its voices would replace"):
        stream(tmp_path / "talk.wav", predict(str(tmp_path / "talk.wav"), voices(20)))
    assert (tmp_path / "talk.wav").read_text() == "recording"


def test_a_file_that_breaks_off_is_written_as_far_as_it_goes(tmp_path: Path, predict: Predict):
    made = voices(3000)
    stream(tmp_path / "out", iter([next(predict("talk.wav", made))]))
    assert_array_equal(heard(tmp_path / "out" / "talk-1.wav"), made[:1, :1750])


def test_a_file_too_long_for_wav_is_written_with_64_bits(
    tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spools, "_WAV_BYTES", 4 * 2 * 2000)
    for length, kind in ((1999, "WAV"), (2000, "RF64")):
        made = voices(length)
        stream(tmp_path / "long.wav", predict("talk.wav", made))
        assert soundfile.info(tmp_path / "long.wav").format == kind
        assert_array_equal(heard(tmp_path / "long.wav"), made)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch):
    def full(self: object, data: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    for name in ("out", "all.wav"):
        with pytest.raises(DataError, match="No space left on device"):
            stream(tmp_path / name, predict("talk.wav", voices(2000)))
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == []


def test_a_folder_below_a_file_is_told(tmp_path: Path, predict: Predict):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; expected a folder"):
        stream(tmp_path / "file", predict("talk.wav", voices(20)))
    with pytest.raises(DataError, match="could not be written"):
        stream(tmp_path / "file" / "out", predict("talk.wav", voices(20)))


def test_write_takes_a_whole_prediction(tmp_path: Path, predict: Predict):
    made = voices(3000)
    whole = xr.concat(list(predict("talk.wav", made)), "item")
    for name in ("out", "all.WAV"):
        write(whole, tmp_path / name)
    assert_array_equal(heard(tmp_path / "out" / "talk-2.wav"), made[1:])
    assert_array_equal(heard(tmp_path / "all.WAV"), made)
    with pytest.raises(DataError, match=r"cannot write predictions as '\.mp3'"):
        write(whole, tmp_path / "all.mp3")
    with pytest.raises(DataError, match="nothing was separated"):
        write(whole.isel(item=slice(0)), tmp_path / "none.wav")


def test_scores_have_no_sound(tmp_path: Path):
    with pytest.raises(DataError, match="holds scores of known voices"):
        write(xr.Dataset({"si_sdr": (("item", "source"), np.zeros((1, 2)))}), tmp_path / "out")
    assert names(tmp_path) == []


def test_memory_stays_flat_over_ten_minutes(tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch):
    window, hop, count, held = 64_000, 48_000, 100, []
    rng = np.random.default_rng(0)
    block = rng.integers(-60, 61, (2, window)).astype(np.float32) / 256

    def chunks() -> Iterator[xr.Dataset]:
        # Windows agree where they overlap: their sound repeats itself every hop.
        periodic = np.tile(block[:, :hop], 2)[:, :window]
        (first,) = predict("long.wav", periodic, window=window, hop=hop)
        for place in range(count):
            yield first.assign(start=("item", [place * hop]), last=("item", [place == count - 1]))

    append = spools.Spool.append

    def watched(self: spools.Spool, samples: np.ndarray) -> None:
        held.append(samples.size)
        append(self, samples)

    monkeypatch.setattr(spools.Spool, "append", watched)
    stream(tmp_path / "out", chunks())
    length = (count - 1) * hop + window
    assert length > 590 * 8000
    assert max(held) <= 2 * window
    assert sum(held) == 2 * length
    for voice in range(2):
        with soundfile.SoundFile(tmp_path / "out" / f"long-{voice + 1}.wav") as file:
            assert len(file) == length
            file.seek(length - 1000)
            assert_array_equal(file.read(dtype="float32"), np.resize(block[voice, :hop], length)[-1000:])
