"""How many objects a CPU second does the Gaussian process stage of t2 fit, beside george and scikit-learn?

All fit the same kernel from the same start within the same bounds to the same SPCC objects (detections -50/+50 d), on
one thread; rounds of the three take turns, so that a busy machine slows all alike, and the median round counts. The
peers live in an environment of their own:

    python -m venv PEERS && PEERS/bin/pip install george scikit-learn
    python benchmarks/gaussian_process.py --peers PEERS/bin/python
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from armillary.core.paths import data_root
from armillary.domains.transients.store import load_curves
from armillary.domains.transients.t2.gaussian_process import GPFit, fit, log_likelihood, predict, starting_amplitude
from armillary.domains.transients.t2.points import Points
from armillary.domains.transients.t2.preparation import Window, sample_times, to_points, trim

QUESTION = "How many objects a CPU second does the Gaussian process stage of t2 fit, beside george and scikit-learn?"
PEER = Path(__file__).parent / "peers" / "gaussian_process.py"
RESULT = Path(__file__).parent / "results" / "gaussian_process.json"
LIBRARIES = ("george", "scikit-learn")
STEPS = 100


def sample(count: int) -> tuple[Points, np.ndarray, np.ndarray]:
    """Points of evenly picked objects with a detection, the times and the wavelengths to predict at."""
    folder = data_root() / "transients" / "spcc"
    curves = load_curves([folder / "photo_subset.tar.xz", folder / "labels.csv.gz"])
    seen = np.flatnonzero(np.logical_or.reduceat(curves.detected, curves.offsets[:-1]))
    curves = trim(curves.select(seen[:: len(seen) // count][:count]), Window(50.0, 50.0))
    return to_points(curves), sample_times(curves, STEPS), curves.wavelength


def run_ours(points: Points, times: np.ndarray, wavelengths: np.ndarray) -> dict:
    """One round of ours."""
    began = time.process_time()
    fitted = fit(points)
    middle = time.process_time()
    predict(points, fitted, times, wavelengths)
    ended = time.process_time()
    return {"fit_s": middle - began, "predict_s": ended - middle, "fit": fitted}


def run_peer(python: str, library: str, points: Path, result: Path) -> dict:
    """One round of a peer, in its own process; its imports are not counted."""
    command = [python, str(PEER), library, str(points), str(result)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    subprocess.run(command, check=True, env=os.environ | threads)
    with np.load(result) as found:
        round_ = {name: found[name] for name in found.files}
    parameters, count = round_["parameters"], round_["evaluations"].astype(np.int64)
    ok = np.ones(len(count), np.bool_)
    round_["fit"] = GPFit(np.exp(parameters[:, 0]), np.exp(0.5 * parameters[:, 1]), ok, count)
    return round_


def speed(rounds: list[dict], count: int) -> dict:
    """Objects a CPU second: median of the rounds, and all of them."""
    fits = [count / float(one["fit_s"]) for one in rounds]
    whole = [count / float(one["fit_s"] + one["predict_s"]) for one in rounds]
    return {
        "fits_per_cpu_s": round(statistics.median(fits), 1),
        "fits_per_cpu_s_rounds": [round(value, 1) for value in fits],
        "fits_and_predictions_per_cpu_s": round(statistics.median(whole), 1),
        "mean_evaluations": round(float(rounds[0]["fit"].evaluations.mean()), 2),
    }


def agreement(points: Points, ours: GPFit, theirs: GPFit) -> dict:
    """Is it the same optimum? Both sets of parameters are judged by one likelihood [nat]."""
    gain = log_likelihood(points, ours) - log_likelihood(points, theirs)
    relative = np.abs(gain) / np.abs(log_likelihood(points, theirs))
    apart = np.maximum(
        np.abs(np.log(ours.amplitude / theirs.amplitude)), 2 * np.abs(np.log(ours.length_d / theirs.length_d))
    )
    return {
        "objects_within_0.01_nat": int((np.abs(gain) < 0.01).sum()),
        "objects_where_ours_is_better_by_0.01_nat": int((gain > 0.01).sum()),
        "objects_where_ours_is_worse_by_0.01_nat": int((gain < -0.01).sum()),
        "worst_loss_nat": float(max(-gain.min(), 0)),
        "median_relative_difference": float(np.median(relative)),
        "parameter_difference_quantiles_50_90_99": [round(float(q), 5) for q in np.quantile(apart, (0.5, 0.9, 0.99))],
    }


def processor() -> str:
    """Name of the CPU, as well as the system tells."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} CPUs" if names else platform.processor()


def times_faster(speeds: dict[str, dict], key: str) -> dict[str, float]:
    """Our speed over each peer's."""
    return {name: round(speeds["armillary"][key] / one[key], 2) for name, one in speeds.items() if name != "armillary"}


def report(points: Points, rounds: dict[str, list[dict]], command: str) -> dict:
    """The stored result."""
    sizes, count = points.row_size, len(points)
    speeds = {name: speed(found, count) for name, found in rounds.items()}
    ours = rounds["armillary"][0]["fit"]
    peers = {name: found[0] for name, found in rounds.items() if name != "armillary"}
    versions = {name: version(name) for name in ("armillary", "torch", "numpy", "scipy")}
    return {
        "question": QUESTION,
        "machine": processor(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "versions": versions | {name: str(found["version"]) for name, found in peers.items()},
        "threads": 1,
        "command": command,
        "objects": count,
        "points_quantiles_0_50_100": [int(q) for q in np.quantile(sizes, (0, 0.5, 1))],
        "rounds": len(rounds["armillary"]),
        "speed": speeds,
        "times_faster_fit": times_faster(speeds, "fits_per_cpu_s"),
        "times_faster_fit_and_predict": times_faster(speeds, "fits_and_predictions_per_cpu_s"),
        "same_optimum": {name: agreement(points, ours, found["fit"]) for name, found in peers.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--peers", required=True, help="python of the peers' environment")
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    points, times, wavelengths = sample(options.objects)
    rounds: dict[str, list[dict]] = {"armillary": [], **{name: [] for name in LIBRARIES}}
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "points.npz"
        columns = {name: getattr(points, name) for name in ("time", "wavelength", "flux", "flux_error", "row_size")}
        np.savez(shared, **columns, times=times, wavelengths=wavelengths, amplitude=starting_amplitude(points))
        fit(points)  # first use of the libraries
        for _ in range(options.rounds):
            rounds["armillary"].append(run_ours(points, times, wavelengths))
            for name in LIBRARIES:
                rounds[name].append(run_peer(options.peers, name, shared, Path(folder) / "result.npz"))
    told = ["PEERS/bin/python" if word == options.peers else word for word in sys.argv]
    result = report(points, rounds, shlex.join(["python", *told]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
