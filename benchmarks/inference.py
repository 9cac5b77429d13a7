"""How many objects a second each system classifies, network alone and with the way from light curves to probabilities.

ARMILLARY_DATA=<data root> python benchmarks/inference.py --threads 1
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from armillary.core.config import RunConfig
from armillary.core.domain import Domain, Items
from armillary.pipelines.config import resolve_recipe
from armillary.pipelines.folder import describe_machine
from armillary.pipelines.inference import predict_items
from armillary.pipelines.locate import dataset_folders
from armillary.pipelines.plugins import load_domain
from armillary.pipelines.training import build_model

RECIPES = ("transients/t2-spcc", "transients/raw-spcc", "transients/t2-ztf", "transients/raw-ztf")
REPEATS = 5


def measure(recipe: str) -> dict[str, float]:
    """Objects a second: median of the repeats over one test split."""
    config = resolve_recipe(recipe, []).config
    domain = load_domain(config.domain)
    items = domain.datasets(config, dataset_folders(domain, config, None), "test")
    model = build_model(domain, config).eval()
    whole = [_timed(lambda: predict_items(domain, config, model, items)) for _ in range(REPEATS)]
    return {
        "items": len(items),
        "network_items_per_second": len(items) / statistics.median(_network(domain, config, model, items)),
        "with_loading_items_per_second": len(items) / statistics.median(whole),
    }


def _network(domain: Domain, config: RunConfig, model: torch.nn.Module, items: Items) -> list[float]:
    from armillary.pipelines.inference import batches

    ready = list(batches(items, config.evaluate.batch_size))
    with torch.inference_mode():
        return [_timed(lambda: [list(model.predict(batch, config.predict)) for batch in ready]) for _ in range(REPEATS)]


def _timed(call: object) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Measures every recipe and writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    found = {recipe: measure(recipe) for recipe in RECIPES}
    record = {"machine": describe_machine(), "threads": threads, "command": " ".join(sys.argv), "result": found}
    path = Path(__file__).parent / "results" / "inference.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
