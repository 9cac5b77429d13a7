"""Conformance kit for domains: what every plugin must hold, run on its simulated twin data."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from armillary.core.cards import Card, list_cards
from armillary.core.config import RunConfig
from armillary.core.domain import SPLITS, Batch, Domain, Items, ReadOptions, Split
from armillary.core.errors import DataError
from armillary.core.random import derive_seed
from armillary.core.testing.offline import no_network

_ITEMS = 48  # as many as a check looks at: the kit is run on every change
_BATCH = 16


@dataclass
class Subject:
    """A domain under test with the twin data of its demo recipe in a folder of its own."""

    domain: Domain
    folder: Path
    cache: dict[Split, Items] = field(default_factory=dict[Split, Items])

    @cached_property
    def config(self) -> RunConfig:
        """The demo recipe."""
        return self.domain.recipes[self.domain.demo]()

    @cached_property
    def cards(self) -> Mapping[str, Card]:
        """The domain's cards."""
        return list_cards(self.domain.cards)

    @cached_property
    def data(self) -> Mapping[str, Path]:
        """Folders of the twins that the demo recipe reads."""
        return {card: self.domain.simulate(card, self.folder, 0, "twin") for card in self.domain.uses(self.config)}

    def items(self, split: Split) -> Items:
        """A split of the twin."""
        if split not in self.cache:
            self.cache[split] = self.domain.datasets(self.config, self.data, split)
        return self.cache[split]

    @cached_property
    def batch(self) -> Batch:
        """Some plain training items, collated."""
        items = self.items("train")
        return items.collate([items[(0, i)] for i in range(min(len(items), _BATCH))])

    def model(self) -> nn.Module:
        """The demo model, fitted to the training split, before its first step."""
        torch.manual_seed(derive_seed(self.config.seed, "initialise"))
        model = self.domain.build(self.config)
        model.fit(self.items("train"))  # pyright: ignore[reportCallIssue]
        return model

    def predictions(self, model: nn.Module, items: Items) -> xr.Dataset:
        """What the model says of the items."""
        outputs: list[dict[str, np.ndarray]] = []
        model.eval()
        with torch.inference_mode():
            for start in range(0, len(items), _BATCH):
                keys = range(start, min(start + _BATCH, len(items)))
                batch = items.collate([items[(0, i)] for i in keys])
                for out in model.predict(batch, self.config.predict):  # pyright: ignore[reportCallIssue]
                    outputs.append({**{k: v.float().numpy() for k, v in out.items()}, "index": batch["index"].numpy()})
        return self.domain.assemble(self.config, items, outputs)


def check_domain(domain: Domain, print_line: Callable[[str], None] = lambda _: None) -> dict[str, str]:
    """Runs every check; returns its name -> the problem, empty where it holds."""
    from armillary.core.testing.domain_checks import DOMAIN_CHECKS

    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, no_network():
        subject = Subject(domain, Path(folder))
        for check in DOMAIN_CHECKS:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            try:
                check(subject)
                results[name] = ""
            except Exception as error:
                results[name] = f"{type(error).__name__}: {error}"
            print_line(f"{'ok    ' if not results[name] else 'FAILED'} {name}  {results[name]}")
    return results


def read_all(subject: Subject, folder: Path) -> tuple[list[xr.Dataset], list[DataError]]:
    """Chunks and problems of reading a folder."""
    problems: list[DataError] = []
    options = ReadOptions(problems.append, chunk_items=_ITEMS, settings=subject.config.predict)
    return list(subject.domain.read([folder], options)), problems


def steps(model: nn.Module, batch: Batch, optimiser: torch.optim.Optimizer, numbers: range) -> Iterator[float]:
    """Losses of training steps on one batch; randomness depends on the number of the step."""
    for number in numbers:
        torch.manual_seed(derive_seed("dropout", number))
        generator = torch.Generator().manual_seed(derive_seed("loss", number))
        optimiser.zero_grad()
        loss: torch.Tensor = model.loss(batch, generator)["total"]  # pyright: ignore[reportCallIssue]
        loss.backward()
        optimiser.step()
        model.after_step()  # pyright: ignore[reportCallIssue]
        yield float(loss.item())


def same_items(one: Any, other: Any) -> bool:
    """Whether two items or batches are equal to the bit."""
    if one.keys() != other.keys():
        return False
    return all(np.array_equal(np.asarray(one[k]), np.asarray(other[k]), equal_nan=_floats(one[k])) for k in one)


def _floats(value: Any) -> bool:
    return np.asarray(value).dtype.kind == "f"


def split_groups(subject: Subject) -> dict[Split, set[str]]:
    """Groups of each split."""
    return {split: set(map(str, subject.items(split).groups)) for split in SPLITS}
