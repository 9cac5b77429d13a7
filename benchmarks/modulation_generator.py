"""The frame generator against frames that GNU Radio made from the same recipe, and its speed.

    ARMILLARY_DATA=<data root> python benchmarks/modulation_generator.py

Speed: frames a second of one thread. Likeness, for each class and group of SNR labels: difference of the mean power
spectra, moments of the amplitude, and how well a classifier tells the two makers apart (area under the ROC curve on
held-back frames, 0.5: not at all). Then a forest trained on frames of either maker and tested on either. All frames
are simulated.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from armillary.core.random import item_seeds
from armillary.domains.modulation.data import targets
from armillary.domains.modulation.features import expert_features
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.readers.dataset import load_card
from armillary.domains.modulation.recipes import clst_rml2016a
from armillary.domains.modulation.simulation.rml2016 import RML2016A
from armillary.domains.modulation.simulation.rml2018 import RML2018
from armillary.domains.modulation.splits import split_frames
from armillary.pipelines.folder import describe_machine

LABELS = tuple(range(-20, 20, 2))
BANDS = {"-20 to -8": (-20, -8), "-6 to 4": (-6, 4), "6 to 18": (6, 18)}


def speed(make: Any, classes: int, labels: tuple[int, ...], count: int = 11_000) -> float:
    """Frames a second: the fastest of three runs over every class and label."""
    index = np.arange(count, dtype=np.int64)
    snr = np.array(labels, np.float32)[(index // classes) % len(labels)]
    times: list[float] = []
    for repeat in range(3):
        start = time.perf_counter()
        make(index % classes, snr, item_seeds(index, 0, "speed", repeat))
        times.append(time.perf_counter() - start)
    return round(count / min(times))


def our_twins(place: np.ndarray, snr_db: np.ndarray, seed: str) -> np.ndarray:
    """A frame of ours for each of theirs, of the same class and label."""
    return RML2016A("historical")(place, snr_db, item_seeds(np.arange(len(place), dtype=np.int64), 0, seed))


def likeness(theirs: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    """How far the frames of one class and some labels differ between the two makers."""
    complex_ = [part[:, 0] + 1j * part[:, 1] for part in (theirs, ours)]
    power = [np.abs(np.fft.fft(z)) ** 2 for z in complex_]
    spectra = [10 * np.log10((p / p.mean(1, keepdims=True)).mean(0)) for p in power]
    amplitude = [np.abs(z) / np.abs(z).mean(1, keepdims=True) for z in complex_]
    spread = [float(a.std(1).mean()) for a in amplitude]
    return {
        "spectrum_rms_db": float(np.sqrt(np.mean((spectra[0] - spectra[1]) ** 2))),
        "amplitude_deviation_theirs": spread[0],
        "amplitude_deviation_ours": spread[1],
        "auc": _told_apart(theirs, ours),
    }


def _told_apart(theirs: np.ndarray, ours: np.ndarray) -> float:
    table = np.concatenate([expert_features(theirs), expert_features(ours)])
    maker = np.repeat([0, 1], [len(theirs), len(ours)])
    held_back = np.random.default_rng(0).random(len(maker)) < 0.5
    forest = RandomForestClassifier(200, min_samples_leaf=3, random_state=0)
    forest.fit(table[~held_back], maker[~held_back])
    return float(roc_auc_score(maker[held_back], forest.predict_proba(table[held_back])[:, 1]))


def crossed(frames: Frames, target: np.ndarray) -> dict[str, float]:
    """Mean accuracy over labels of a forest trained on frames of one maker and tested on either."""
    data = clst_rml2016a().data
    parts = split_frames(target, frames.snr_db, frames.group, data)
    tables: dict[tuple[str, str], np.ndarray] = {}
    for split in ("train", "test"):
        chosen = parts[split]
        tables["theirs", split] = expert_features(np.asarray(frames.iq[chosen]))
        tables["ours", split] = expert_features(our_twins(target[chosen], frames.snr_db[chosen], split))
    found: dict[str, float] = {}
    for maker in ("theirs", "ours"):
        forest = RandomForestClassifier(300, min_samples_leaf=2, random_state=0)
        forest.fit(tables[maker, "train"], target[parts["train"]])
        for tested in ("theirs", "ours"):
            right = forest.predict(tables[tested, "test"]) == target[parts["test"]]
            found[f"trained on {maker}, tested on {tested}"] = float(right.mean())
    return found


def main() -> None:
    """Measures speed and likeness, and writes one JSON."""
    seeded = {
        "RML2016.10a, historical noise": speed(RML2016A("historical"), 11, LABELS),
        "RML2016.10a, calibrated noise": speed(RML2016A("calibrated"), 11, LABELS),
        "RML2018 classes, calibrated noise, 1,024 samples": speed(RML2018("calibrated", 1024), 24, LABELS, 4_800),
    }
    folder = Path(os.environ["ARMILLARY_DATA"]) / "modulation" / "rml2016a_regen"
    problems: list[Exception] = []
    frames = load_card(folder, problems.append, 128)
    assert not problems, problems
    classes = clst_rml2016a().data.classes
    target = targets(frames.label, classes)
    ours = our_twins(target, frames.snr_db, "twins")
    alike: dict[str, dict[str, dict[str, float]]] = {}
    for number, name in enumerate(classes):
        for band, (low, high) in BANDS.items():
            rows = np.flatnonzero((target == number) & (frames.snr_db >= low) & (frames.snr_db <= high))
            alike.setdefault(name, {})[band] = likeness(np.asarray(frames.iq[rows]), ours[rows])
    record = {
        "machine": describe_machine(), "threads": 1, "command": " ".join(["python", *sys.argv]),
        "result": {
            "frames_a_second": seeded, "asked_frames_a_second": 5000, "forest_mean_accuracy": crossed(frames, target),
            "likeness_by_class_and_snr_label": alike,
        },
    }  # fmt: skip
    path = Path(__file__).parent / "results" / "modulation_generator.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["result"], indent=1))


if __name__ == "__main__":
    main()
