"""How many speak, and who is who over minutes: what the small separator's estimates say about both.

    ARMILLARY_DATA=<data root> python benchmarks/speech_voices.py --small RUN --runs DIR

Counting: the mixtures of libri2mix_mini's test list, and the first voice of each alone, whole. RUN is a finished run of
speech/small, which never heard fewer than two; a second one goes on from it (1,600 steps) with a voice left out of 30 %
of its mixtures.

Order: conversations of two test readers, their utterances of the list one after another, cut in windows of 4 s that
overlap by a quarter. Told is the share of windows whose voices are in the order of most windows of their conversation,
as the network gives them and after joining; only windows count in which both readers are heard and the network has one
order 3 dB or more above the other.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from armillary.domains.speech.counting import present
from armillary.domains.speech.joining import Joiner
from armillary.domains.speech.si_sdr import si_sdr_pairs
from armillary.pipelines import Run, train
from armillary.pipelines.folder import describe_machine, plain

RESULT = Path(__file__).parent / "results" / "speech_voices.json"
TUNED = {
    "data.card": "libri2mix_mini", "data.dynamic": {"mixtures": 1600, "fewer": 0.3}, "optim.lr": 1e-3,
    "train.steps": 1600, "train.epochs": 50, "train.threads": 1, "train.device": "cpu",
}  # fmt: skip
WINDOW_S, OVERLAP = 4.0, 0.25
LONGEST_S, CONVERSATIONS = 60.0, 12
CLEAR_DB = 3.0
Voices = Float32[np.ndarray, "k t"]


def estimates(run: Run, mixture: Float32[np.ndarray, " t"]) -> Voices:
    """The voices of one mixture, whole."""
    with torch.no_grad():
        return run.model(torch.from_numpy(mixture)[None])[0].numpy()


def counted(run: Run) -> dict[str, Any]:
    """Shares of mixtures and of single voices whose number of voices is told right, with 95 % intervals."""
    items = run.items("test")
    found: dict[str, list[bool]] = {"two voices": [], "one voice": []}
    for index in range(len(items)):
        item = items[(0, index)]
        for name, signal, right in (("two voices", item["mixture"], 2), ("one voice", item["sources"][0], 1)):
            voices = estimates(run, signal).astype(np.float64)
            found[name].append(int(present(voices @ voices.T).sum()) == right)
    return {name: {"files": len(right), **share(right)} for name, right in found.items()}


def share(right: Sequence[bool]) -> dict[str, float]:
    """Share of what is right, and Wilson's 95 % interval."""
    n, p, z = len(right), float(np.mean(right)), 1.96
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"value": p, "low": max(0.0, float(low)), "high": min(1.0, float(high))}


def conversations(run: Run) -> list[Voices]:
    """Two readers each, as long as the shorter one's utterances last, at one level."""
    items, rate = run.items("test"), int(run.config.data.sample_rate_hz)  # pyright: ignore[reportAttributeAccessIssue]
    speakers = items.known["speakers"]  # pyright: ignore[reportAttributeAccessIssue]
    said: Mapping[str, dict[bytes, np.ndarray]] = defaultdict(dict)
    for index in range(len(items)):
        for voice, reader in zip(items[(0, index)]["sources"], speakers[index], strict=True):
            # Mixtures give an utterance other gains and other ends.
            start = np.round(voice[:rate] / np.abs(voice[:rate]).max(), 2).tobytes()
            said[str(reader)].setdefault(start, voice)
    whole = {reader: np.concatenate(list(voices.values())) for reader, voices in said.items()}
    pairs = sorted(combinations(sorted(whole), 2), key=lambda pair: -min(len(whole[reader]) for reader in pair))
    longest = int(LONGEST_S * rate)
    found = []
    for pair in pairs[:CONVERSATIONS]:
        length = min(longest, *(len(whole[reader]) for reader in pair))
        voices = np.stack([whole[reader][:length] for reader in pair])
        found.append((0.05 * voices / np.sqrt(np.square(voices).mean(1, keepdims=True))).astype(np.float32))
    return found


def orders(voices: Voices, sources: Voices, starts: Sequence[int], width: int) -> np.ndarray:
    """Of each window 1 where the voices stand as the readers do, -1 where the other way round, 0 where unclear."""
    found = []
    for start in starts:
        window, truth = voices[:, start : start + width], sources[:, start : start + width]
        power = np.square(truth).mean(1)
        pairs = si_sdr_pairs(*(torch.from_numpy(part.copy())[None] for part in (window, truth)))[0]
        gain = float(pairs.diagonal().sum() - pairs.flip(0).diagonal().sum()) / 2
        clear = power.min() > 0.01 * power.max() and abs(gain) >= CLEAR_DB
        found.append(np.sign(gain) if clear else 0)
    return np.array(found, np.int64)


def kept(run: Run) -> dict[str, Any]:
    """Shares of windows in their conversation's order, before and after joining."""
    import xarray as xr

    rate = int(run.config.data.sample_rate_hz)  # pyright: ignore[reportAttributeAccessIssue]
    width = int(WINDOW_S * rate)
    told: dict[str, list[bool]] = {"network": [], "joined": []}
    seconds = 0.0
    for sources in conversations(run):
        mixture = sources.sum(0)
        starts = list(range(0, max(len(mixture) - width, 0) + 1, int(width * (1 - OVERLAP))))
        windows = np.stack([estimates(run, mixture[start : start + width]) for start in starts])
        prediction = xr.Dataset(
            {
                "estimate": (("item", "source", "sample"), windows),
                "mixture": (("item", "sample"), np.stack([mixture[start : start + width] for start in starts])),
                "file": ("item", ["talk"] * len(starts)),
                "start": ("item", starts),
                "length": ("item", [width] * len(starts)),
                "last": ("item", [start == starts[-1] for start in starts]),
            },
            attrs={"sample_rate_hz": rate},
        )
        joined = np.concatenate([piece.samples for piece in Joiner().add(prediction)], 1)
        alone = [orders(window, sources[:, start:], [0], width) for window, start in zip(windows, starts, strict=True)]
        for name, found in (("network", np.concatenate(alone)), ("joined", orders(joined, sources, starts, width))):
            clear = found[found != 0]
            told[name] += (clear == (1 if (clear > 0).mean() >= 0.5 else -1)).tolist()
        seconds += len(mixture) / rate
    shares = {name: {"windows": len(right), **share(right)} for name, right in told.items()}
    return {"conversations": CONVERSATIONS, "seconds": round(seconds, 1), **shares}


def main() -> None:
    """Trains the second run where it is missing, measures both and writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=Path, required=True, help="finished run of speech/small")
    parser.add_argument("--runs", type=Path, default=Path("runs/speech"), help="where the second run goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = options.runs / "speech-small-fewer"
    settings = {**TUNED, "start": {"run": str(options.small)}}
    tuned = train("speech/small", out=out, set=settings, resume=(out / "config.json").exists())
    runs = {"speech/small": Run.load(options.small), "speech/small, then 30 % with a voice less": tuned}
    record = {
        "machine": describe_machine(), "threads": 1, "command": " ".join(["python", *sys.argv]),
        "tuned": {key: value for key, value in settings.items() if key != "start"},
        "training": json.loads((tuned.folder.model / "model.json").read_text()),
        "counting": {name: counted(run) for name, run in runs.items()},
        "order": {name: kept(run) for name, run in runs.items()},
    }  # fmt: skip
    RESULT.write_text(json.dumps(plain(record), indent=1) + "\n")
    print(json.dumps(plain({key: record[key] for key in ("counting", "order")}), indent=1))


if __name__ == "__main__":
    main()
