"""The run folder: where each file of a run lies, and its small JSON files."""

import json
import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from armillary.core.config import RunConfig
from armillary.core.errors import RunError
from armillary.core.files import atomic_write

_VERSIONED = (
    "armillary", "torch", "numpy", "scipy", "lightning", "xarray", "scikit-learn", "lightgbm", "light-curve", "astropy",
)  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """Names of everything in one run folder."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def cards(self) -> Path:
        return self.path / "cards.json"

    @property
    def distill(self) -> Path:
        return self.path / "distill.json"

    @property
    def start(self) -> Path:
        return self.path / "start.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def predictions(self, split: str) -> Path:
        return self.path / "predictions" / f"{split}.nc"

    def evaluation(self, split: str) -> Path:
        return self.path / "evaluation" / f"{split}.json"

    @property
    def name(self) -> str:
        return self.path.name


def read_json(path: Path) -> Any:
    """The content of a run's JSON file.

    Raises:
        RunError: missing or damaged, with what to do.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such file. Expected a run folder made by `armillary train`.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: damaged ({error}). Restore it from a copy, or train again.") from error


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all; NaN becomes null, since JSON has no NaN."""
    text = json.dumps(plain(value), indent=1, allow_nan=False)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """Values that JSON has: NaN and infinities become null, tuples lists."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def resume_command(folder: RunFolder) -> str:
    """The command that goes on with an unfinished run."""
    recipe = read_json(folder.config)["config"]["recipe"]
    return f"armillary train {recipe} --resume --out {folder.path}"


def write_config(folder: RunFolder, config: RunConfig, origins: dict[str, str]) -> None:
    """The resolved configuration with the origin of each value that is not the recipe's."""
    write_json(folder.config, {"config": config.model_dump(mode="json"), "origins": origins})


def describe_machine() -> dict[str, Any]:
    """What made the numbers: versions, processor, threads. No user or host name."""
    import torch

    versions = {}
    for name in _VERSIONED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "versions": versions,
        "command": " ".join(["armillary", *sys.argv[1:]]) if sys.argv[0].endswith("armillary") else None,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def new_folder(recipe: str, out: Path | None) -> RunFolder:
    """`out`, or the next free name below ./runs; an existing run is never written over.

    Raises:
        RunError: `out` already holds something.
    """
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"{out}: already holds files. Give another --out, or --resume to go on with that run.")
        return RunFolder(out)
    base = Path("runs") / recipe.replace("/", "-")
    number = 1
    while (path := base if number == 1 else base.with_name(f"{base.name}-{number}")).exists():
        number += 1
    return RunFolder(path)
