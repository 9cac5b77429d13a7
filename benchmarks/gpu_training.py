"""One short training of each domain's simulated recipe on the CPU and on the GPU: same recipe, seconds and scores.

python benchmarks/gpu_training.py --out gpu_training.json
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from armillary.pipelines import train
from armillary.pipelines.evaluate import evaluate
from armillary.pipelines.folder import describe_machine, plain
from armillary.pipelines.plugins import load_domains

SETTINGS = (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16"))


def measure(recipe: str, device: str, precision: str, folder: Path) -> dict[str, Any]:
    """Wall seconds of the training and the primary metric on the test split, with its interval."""
    start = time.perf_counter()
    settings = {"train.device": device, "train.precision": precision}
    run = train(recipe, out=folder / f"{device}-{precision}", set=settings, quiet=True)
    seconds = time.perf_counter() - start
    result = evaluate([run], baselines=False)
    return {
        "recipe": recipe,
        "device": device,
        "precision": precision,
        "training_seconds": round(seconds, 2),
        result["primary"]: result["metrics"]["model"][result["primary"]],
    }


def main() -> None:
    """Measures and writes one JSON; the data are simulated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    settings = [pair for pair in SETTINGS if pair[0] == "cpu" or torch.cuda.is_available()]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(f"{domain.name}/{domain.demo}", device, precision, Path(folder) / domain.name)
            for domain in load_domains().values()
            for device, precision in settings
        ]
    record = {"machine": describe_machine(), "data": "simulated", "result": rows}
    out.write_text(json.dumps(plain(record), indent=1) + "\n")
    print(json.dumps(plain(rows), indent=1))


if __name__ == "__main__":
    main()
