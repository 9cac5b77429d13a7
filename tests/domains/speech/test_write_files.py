"""From files to voices: reader, windows, records, joining and writers together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor, nn

from armillary.core.domain import Batch, ReadOptions
from armillary.core.errors import DataError
from armillary.domains.speech.assemble import assemble
from armillary.domains.speech.data import items
from armillary.domains.speech.duration import seconds
from armillary.domains.speech.read import read
from armillary.domains.speech.recipes import simulated
from armillary.domains.speech.settings import SpeechPredict, SpeechRun
from armillary.domains.speech.write import STREAMS


class Halves(nn.Module):
    """A separation without a network: positive samples are one voice, negative ones the other, at half the level."""

    def predict(self, batch: Batch, options: object) -> Iterator[dict[str, Tensor]]:
        mixture: Tensor = batch["mixture"]
        # The order of the voices turns round from window to window.
        order = torch.stack([mixture.clamp(min=0), mixture.clamp(max=0)], 1) / 2
        turned = (batch["index"] % 2 == 1)[:, None, None]
        yield {"estimate": torch.where(turned, order.flip(1), order)}


def configured(**options: object) -> SpeechRun:
    predict = SpeechPredict.model_validate({"window_s": 0.1, "scores": (), **options})
    return simulated().model_copy(update={"predict": predict})


def separate(config: SpeechRun, paths: list[Path], *outs: Path, chunk_items: int = 3) -> tuple[list[DataError], float]:
    """Writes all outputs; returns problems and seconds of signal."""
    problems: list[DataError] = []
    length = 0.0
    opened = [STREAMS[out.suffix](out) for out in outs]
    appends = [context.__enter__() for context in opened]
    for chunk in read(paths, ReadOptions(problems.append, chunk_items, config.predict)):
        found = items(config, chunk)
        batch = found.collate([found[(0, place)] for place in range(len(found))])
        outputs = [
            {"estimate": out["estimate"].numpy(), "index": batch["index"].numpy()}
            for out in Halves().predict(batch, None)
        ]
        prediction = assemble(config, found, outputs)
        length += seconds(prediction)
        for append in appends:
            append(prediction)
    for context in opened:
        context.__exit__(None, None, None)
    return problems, length


def recording(path: Path, length: int, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).integers(-9000, 9000, length).astype(np.int16)
    soundfile.write(path, samples, 8000, "PCM_16")
    return samples.astype(np.float32) / 32768


@pytest.mark.parametrize("length", [1, 7, 600, 799, 800, 801, 1000, 1399, 1400, 1401, 5003])
def test_every_sample_of_a_file_is_in_its_voices(tmp_path: Path, length: int):
    samples = recording(tmp_path / "talk.wav", length)
    problems, signal_s = separate(configured(), [tmp_path / "talk.wav"], tmp_path / "out", tmp_path / "all.csv")
    assert problems == []
    assert signal_s == pytest.approx(length / 8000)
    voices = [soundfile.read(tmp_path / "out" / f"talk-{voice}.wav", dtype="float32")[0] for voice in (1, 2)]
    # In a first window without samples of one sign the voices are not yet told apart.
    assert_array_equal(voices[0] + voices[1], samples)
    assert_array_equal(np.sort(np.stack(voices), 0), np.stack([samples.clip(max=0), samples.clip(min=0)]))
    assert pd.read_csv(tmp_path / "all.csv")["seconds"].tolist() == pytest.approx([length / 8000] * 2)


def test_files_read_whole_and_files_in_windows_give_the_same_voices(tmp_path: Path):
    for number in range(3):
        recording(tmp_path / f"{number}.wav", 500 + 700 * number, number)
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    separate(configured(), paths, tmp_path / "windows")
    separate(configured(window_s=None), paths, tmp_path / "whole")
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert len(names) == 6
    for name in names:
        windows, whole = (soundfile.read(tmp_path / folder / name)[0] for folder in ("windows", "whole"))
        assert_allclose(windows, whole, atol=1e-6)


def test_a_bad_file_loses_no_good_one(tmp_path: Path):
    samples = recording(tmp_path / "good.wav", 2000)
    (tmp_path / "bad.wav").write_bytes(b"RIFF and nothing")
    problems, _ = separate(configured(), [tmp_path / "bad.wav", tmp_path / "good.wav"], tmp_path / "out")
    assert len(problems) == 1
    voices = [soundfile.read(tmp_path / "out" / f"good-{voice}.wav", dtype="float32")[0] for voice in (1, 2)]
    assert_array_equal(voices[0] + voices[1], samples)
