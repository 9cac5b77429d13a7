"""A table is streamed: memory follows the window, not the file."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import resource, sys
from pathlib import Path
from armillary.core.domain import ReadOptions
from armillary.domains.transients.read import read
errors = []
objects = sum(chunk.sizes["object"] for chunk in read([Path(sys.argv[1])], ReadOptions(errors.append)))
print(objects, len(errors), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
HEADER = "object_id,mjd,passband,flux,flux_err,detected\n"


def table(path: Path, objects: int) -> Path:
    """Objects of 200 rows, about 9 kB each."""
    rows = [f"{59600 + 0.5 * row:.4f},{row % 6},{row * 1.25:.6f},{1 + row % 7:.6f},{row % 2}" for row in range(200)]
    with path.open("w") as stream:
        stream.write(HEADER)
        for name in range(objects):
            stream.write("\n".join(f"{name},{row}" for row in rows) + "\n")
    return path


def peak(path: Path) -> tuple[int, int, int]:
    """Objects, errors and peak resident memory [MB] of reading in a fresh process."""
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True)
    objects, errors, megabytes = map(int, run.stdout.split())
    return objects, errors, megabytes


def test_twice_the_table_needs_no_more_memory(tmp_path: Path) -> None:
    small, large = table(tmp_path / "small.csv", 5000), table(tmp_path / "large.csv", 10000)
    assert large.stat().st_size > 60e6
    small_peak, large_peak = peak(small), peak(large)
    assert small_peak[:2] == (5000, 0)
    assert large_peak[:2] == (10000, 0)
    # The larger table has 35 MB more text, which as columns are 32 MB.
    assert large_peak[2] - small_peak[2] < 20
