"""How long each modulation system takes for a frame at batch 1 and at batch 400, with its parameters and its work.

    python benchmarks/modulation_latency.py --threads 1

Weights are those of initialisation: the time does not depend on them. The forest reads its features as well.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from armillary.core.cost import describe
from armillary.domains.modulation.features import expert_features
from armillary.pipelines.config import resolve_recipe
from armillary.pipelines.folder import describe_machine
from armillary.pipelines.plugins import load_domain
from armillary.pipelines.training import build_model

RECIPES = (
    "clst-rml2016a",
    "mcldnn-rml2016a",
    "pet-cgdnn-rml2016a",
    "ssm-rml2016a",
    "kd-cnn-rml2016a",
    "kd-mobilenet-rml2016a",
)
OTHERS = {"resnet": {"kind": "resnet"}, "lstm2": {"kind": "lstm2"}}
REPEATS = 30


def measure(recipe: str, kind: str | None = None) -> dict[str, float]:
    """Parameters, multiply-adds of a frame, and median times of a frame [ms]."""
    from armillary.core.config.overrides import Override

    changes = [] if kind is None else [Override("model", {"kind": kind}, "benchmark")]
    config = resolve_recipe(f"modulation/{recipe}", changes).config
    domain = load_domain("modulation")
    model = build_model(domain, config).eval()
    told = describe(model, domain.example_batch(config, 1))
    times = {f"milliseconds_a_frame_batch_{size}": _latency(model, size, config.data.length) for size in (1, 400)}
    one = times["milliseconds_a_frame_batch_1"]
    return {"parameters": told.parameters, "mac": told.mac, **times, "frames_a_second_batch_1": 1000 / one}


def _latency(model: torch.nn.Module, size: int, length: int) -> float:
    iq = torch.randn(size, 2, length)
    with torch.inference_mode():
        return 1000 * _median(lambda: model(iq)) / size


def _median(call: Callable[[], object]) -> float:
    times: list[float] = []
    for repeat in range(REPEATS + 5):
        start = time.perf_counter()
        call()
        if repeat >= 5:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measures every system and writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    found = {recipe.removesuffix("-rml2016a"): measure(recipe) for recipe in RECIPES}
    found |= {name: measure("mcldnn-rml2016a", name) for name in OTHERS}
    frames = np.random.default_rng(0).standard_normal((400, 2, 128)).astype(np.float32)
    features = {
        f"milliseconds_a_frame_batch_{count}": 1000 * _median(partial(expert_features, frames[:count])) / count
        for count in (1, 400)
    }
    record = {
        "machine": describe_machine(), "threads": threads, "command": " ".join(["python", *sys.argv]),
        "result": {**found, "expert features": features},
    }  # fmt: skip
    path = Path(__file__).parent / "results" / "modulation_latency.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["result"], indent=1))


if __name__ == "__main__":
    main()
