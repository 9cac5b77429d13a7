"""`demo`: the main job of every installed domain on embedded simulated data, and one report of all."""

import shutil
import sys
from pathlib import Path

from armillary.pipelines.evaluate import evaluate
from armillary.pipelines.plugins import load_domains
from armillary.pipelines.reporting import report_runs
from armillary.pipelines.run import Run
from armillary.pipelines.training import train

_MARK = ".armillary-demo"


def demo(out: Path) -> Path:
    """Trains, evaluates and reports each domain's demo recipe; returns the report.

    An earlier demo in `out` is replaced; a folder that holds anything else is refused.

    Raises:
        FileExistsError: `out` holds files that no demo made.
    """
    if out.exists() and any(out.iterdir()):
        if not (out / _MARK).exists():
            raise FileExistsError(f"{out}: holds files that are no demo's. Give another --out.")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).touch()
    runs: list[Run] = []
    for domain in load_domains().values():
        print(f"{domain.title}: {domain.name}/{domain.demo} on simulated data", file=sys.stderr)
        run = train(f"{domain.name}/{domain.demo}", out=out / domain.name)
        evaluate([run])
        runs.append(run)
    return report_runs(runs, out / "report.html")
