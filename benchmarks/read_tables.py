"""How fast are survey files read, and in how much memory?

A table of a given size in PLAsTiCC's layout is generated in a temporary folder and streamed, as are the packed SPCC
archives where the data root has them. Each round is a fresh process on one thread, so that its peak resident memory is
the reader's own; the median round counts.

    OMP_NUM_THREADS=1 python benchmarks/read_tables.py --gigabytes 1 --rounds 5
"""

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.core.paths import data_root
from armillary.domains.transients.read import read

QUESTION = "How fast are survey files read, and in how much memory?"
RESULT = Path(__file__).parent / "results" / "read_tables.json"
HEADER = "object_id,mjd,passband,flux,flux_err,detected\n"
METADATA = "object_id,ra,decl,ddf,hostgal_specz,hostgal_photoz,hostgal_photoz_err,distmod,mwebv,target\n"
ROWS = 130  # of an object: the mean of PLAsTiCC's test set
PATTERNS = 500  # objects that differ; the table repeats them under new ids


def write_table(folder: Path, size: int) -> Path:
    """A light-curve table of about `size` bytes and its metadata; the same bytes on every call."""
    patterns = [object_rows(index) for index in range(PATTERNS)]
    path, written, name = folder / "training_set.csv", 0, 0
    with path.open("w") as table, (folder / "training_set_metadata.csv").open("w") as metadata:
        table.write(HEADER)
        metadata.write(METADATA)
        while written < size:
            written += table.write("".join(f"{name},{row}" for row in patterns[name % PATTERNS]))
            metadata.write(f"{name},{name % 360}.25,-20.5,0,0.1,0.12,0.02,38.1,0.03,90\n")
            name += 1
    return path


def object_rows(index: int) -> list[str]:
    """Rows of one object without its id."""
    rng = np.random.default_rng([1, index])
    times = np.sort(rng.uniform(59580.0, 60675.0, ROWS))
    flux, error, band = rng.normal(0.0, 40.0, ROWS), rng.uniform(0.5, 9.0, ROWS), rng.integers(0, 6, ROWS)
    seen = flux > 5 * error
    columns = zip(times, band, flux, error, seen, strict=True)
    return [f"{t:.4f},{b},{f:.6f},{e:.6f},{int(d)}\n" for t, b, f, e, d in columns]


def read_once(paths: list[Path]) -> dict[str, float]:
    """Seconds, objects and peak resident memory [MB] of reading the paths in this process."""
    errors: list[DataError] = []
    start, cpu = time.perf_counter(), time.process_time()
    objects = observations = 0
    for chunk in read(paths, ReadOptions(errors.append)):
        objects += chunk.sizes["object"]
        observations += chunk.sizes["observation"]
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
        "objects": objects,
        "observations": observations,
        "reports": len(errors),
        "peak_resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(paths: list[Path], rounds: int) -> dict[str, object]:
    """The median of rounds, each in a process of its own."""
    command = [sys.executable, __file__, "--read", *map(str, paths)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    outputs = [subprocess.run(command, capture_output=True, check=True, env=environment).stdout for _ in range(rounds)]
    found = [json.loads(output) for output in outputs]
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    median = {name: statistics.median(one[name] for one in found) for name in found[0]}
    speeds = {
        "megabytes": megabytes,
        "mb_per_cpu_s": megabytes / median["cpu_s"],
        "mb_per_wall_s": megabytes / median["wall_s"],
        "objects_per_cpu_s": median["objects"] / median["cpu_s"],
    }
    return {**median, **speeds, "rounds": rounds, "all_cpu_s": [one["cpu_s"] for one in found]}


def run(gigabytes: float, rounds: int) -> dict[str, object]:
    """All measurements of the machine."""
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = write_table(Path(folder), int(gigabytes * 1e9))
        results["plasticc table"] = measure([path], rounds)
    archive = data_root() / "transients" / "spcc" / "photo_subset.tar.xz"
    if archive.is_file():
        results["spcc photo_subset.tar.xz"] = measure([archive], rounds)
    return {
        "question": QUESTION,
        "command": shlex.join(["python", *sys.argv]),
        "machine": {"cpu": processor(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("armillary", "numpy", "pandas", "xarray", "astropy")},
        "results": results,
    }


def processor() -> str:
    """Name of the processor where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", nargs="+", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.read:
        print(json.dumps(read_once(chosen.read)))
        return
    report = run(chosen.gigabytes, chosen.rounds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["results"], indent=1))


if __name__ == "__main__":
    main()
