"""Data, model and metrics of the toy domain."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor, nn

from armillary.core.config.trunk import TrunkSettings
from armillary.core.domain import Batch, Interface, Item, Metric, MetricSet, Port, ReadOptions, Sound, Split, TrunkNeeds
from armillary.core.errors import DataError
from armillary.core.random import derive_rng
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary_toy.settings import ToyRun

_LENGTH = 24


def simulate(card: str, root: Path, seed: int, size: str) -> Path:
    """One text file a wave; the last of a twin is broken on purpose."""
    folder = root / "toy" / card
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(200 if size == "default" else 60):
        rng = derive_rng(seed, index)
        speed = 0.3 if index % 2 else 0.9
        wave = np.sin(speed * np.arange(_LENGTH) + rng.uniform(0, 6)) + 0.5 * rng.standard_normal(_LENGTH)
        np.savetxt(folder / f"{index:04d}_{index % 2}.txt", wave)
    if size == "twin":
        (folder / "9999_0.txt").write_text("not a number\n")
    return folder


def read(paths: Sequence[Path], options: ReadOptions) -> Iterator[xr.Dataset]:
    """Chunks of waves."""
    files = sorted(f for path in paths for f in (path.glob("*.txt") if path.is_dir() else [path]))
    waves: list[np.ndarray] = []
    names: list[str] = []
    for file in files:
        try:
            waves.append(np.loadtxt(file, dtype=np.float32).reshape(_LENGTH))
            names.append(file.stem)
        except ValueError as error:
            options.report(DataError(str(error), path=file, advice=f"Give {_LENGTH} numbers, one a line."))
    for start in range(0, len(waves), options.chunk_items):
        part = slice(start, start + options.chunk_items)
        values = ("item", "t"), np.stack(waves[part]), {"units": "1"}
        yield xr.Dataset({"value": values}, {"item": names[part]})


class Waves:
    """Items: one wave each, with noise added while training."""

    def __init__(self, config: ToyRun, chunk: xr.Dataset) -> None:
        self.config = config
        self.values = chunk["value"].values
        self.ids = self.groups = chunk["item"].values.astype(np.str_)
        self.targets = np.array([int(name[-1]) for name in self.ids], np.int64)
        self.problems: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        value = self.values[index]
        if epoch:
            rng = derive_rng(self.config.seed, "augment", epoch, index)
            value = value + self.config.data.noise * rng.standard_normal(_LENGTH).astype(np.float32)
        return {"value": value, "target": int(self.targets[index]), "index": index}

    def collate(self, items: Sequence[Item]) -> Batch:
        """Stacked tensors."""
        time.sleep(self.config.data.seconds_a_batch)
        return {
            "value": torch.from_numpy(np.stack([item["value"] for item in items])),
            "target": torch.tensor([item["target"] for item in items]),
            "index": torch.tensor([item["index"] for item in items]),
        }


def items(config: ToyRun, chunk: xr.Dataset) -> Waves:
    """Items of a chunk."""
    return Waves(config, chunk)


def datasets(config: ToyRun, folders: Mapping[str, Path], split: Split) -> Waves:
    """Every fifth wave tests, every fourth validates."""
    chunks = list(read([folders["waves"]], ReadOptions(lambda _: None, chunk_items=10_000)))
    place = (np.arange(chunks[0].sizes["item"]) + config.data.fold) % 5
    chosen = {"train": place < 3, "validation": place == 3, "test": place == 4}[split]
    return Waves(config, chunks[0].isel(item=np.flatnonzero(chosen)))


class Net(nn.Module):
    """Two linear maps; the loss adds noise of its own from the generator."""

    centre: Tensor

    def __init__(self, config: ToyRun) -> None:
        super().__init__()
        width = config.model.width
        self.layers = nn.Sequential(
            nn.Linear(_LENGTH, width), nn.Tanh(), nn.Dropout(config.model.dropout), nn.Linear(width, 2)
        )
        if config.model.trunk is not None:
            self.layers = Tokenised(config.model.trunk)
        self.register_buffer("centre", torch.zeros(()))

    def fit(self, items: Waves) -> None:
        """The mean of the training waves."""
        self.centre.copy_(torch.tensor(items.values.mean()))

    def forward(self, value: Tensor) -> Tensor:
        return self.layers(value - self.centre)

    def logits(self, batch: Batch) -> Tensor:
        """Class scores."""
        return self(batch["value"])

    def features(self, batch: Batch) -> Tensor:
        """What the last linear map reads."""
        return self.layers[:-1](batch["value"] - self.centre)

    def loss(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Cross entropy."""
        noisy = batch["value"] + 0.1 * torch.randn(batch["value"].shape, generator=generator).to(batch["value"].device)
        return {"total": nn.functional.cross_entropy(self(noisy), batch["target"])}

    def predict(self, batch: Batch, options: object) -> Iterator[dict[str, Tensor]]:
        """Probabilities."""
        yield {"probability": self(batch["value"]).softmax(-1)}

    def interface(self) -> Interface:
        """Waves to probabilities."""
        return Interface({"value": Port(("item", "t"), "1", "the wave")}, {"probability": Port(("item", "class"))})

    def calibrate(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Nothing."""

    def after_step(self) -> None:
        """Nothing."""


class Tokenised(nn.Module):
    """A trunk over the points of a wave."""

    def __init__(self, settings: TrunkSettings) -> None:
        super().__init__()
        self.enter, self.trunk = nn.Linear(1, settings.width), Trunk(settings)
        self.leave = nn.Linear(settings.width, 2)

    def forward(self, value: Tensor) -> Tensor:
        mixed, _ = self.trunk(Tokens(self.enter(value[..., None])))
        return self.leave(mixed.values.mean(1))


def build(config: ToyRun, trunk: nn.Module | None = None) -> nn.Module:
    """The network."""
    return Net(config)


def trunk_needs(config: ToyRun) -> TrunkNeeds:
    """Nothing in particular."""
    return TrunkNeeds(config.model.width, causal=False)


def example_batch(config: ToyRun, batch_size: int) -> Batch:
    """Shapes for describe."""
    target = torch.zeros(batch_size, dtype=torch.int64)
    return {"value": torch.zeros(batch_size, _LENGTH), "target": target, "index": target}


def assemble(config: ToyRun, items: Waves, outputs: Sequence[Mapping[str, np.ndarray]]) -> xr.Dataset:
    """Records in the order of the items."""
    order = np.argsort(np.concatenate([output["index"] for output in outputs]))
    probability = np.concatenate([output["probability"] for output in outputs])[order]
    variables = {"probability": (("item", "class"), probability), "truth": ("item", items.targets),
                 "group": ("item", items.groups)}  # fmt: skip
    return xr.Dataset(variables, {"item": items.ids, "class": list(config.data.classes)})


def _log_loss(records: xr.Dataset, weight: np.ndarray) -> float:
    right = records["probability"].values[np.arange(records.sizes["item"]), records["truth"].values]
    return float(np.average(-np.log(right.astype(np.float64)), weights=weight))


def _doubt(records: xr.Dataset, weight: np.ndarray) -> float:
    probability = records["probability"].values.astype(np.float64)
    return float(np.average(-(probability * np.log(probability)).sum(1), weights=weight))


def metrics(config: ToyRun) -> MetricSet:
    """The log loss; with predict.doubt, the entropy too."""
    found = (Metric("log_loss", _log_loss, "min"),)
    return MetricSet((*found, Metric("doubt", _doubt, "min")) if config.predict.doubt else found, "log_loss")


class Coin:
    """Says one half to everything."""

    def fit(self, train: Waves, validation: Waves) -> None:
        """Nothing to learn."""

    def predict(self, items: Waves) -> xr.Dataset:
        """One half each."""
        half = np.full((len(items), 2), 0.5, np.float32)
        index = np.arange(len(items))
        return assemble(items.config, items, [{"index": index, "probability": half}])


def baselines(config: ToyRun) -> dict[str, Coin]:
    """A coin."""
    return {"coin": Coin()}


def write(prediction: xr.Dataset, path: Path) -> None:
    """CSV or NetCDF."""
    if path.suffix == ".nc":
        prediction.to_netcdf(path, engine="h5netcdf")
    else:
        prediction["probability"].to_pandas().to_csv(path)


def protocol(config: ToyRun) -> str:
    """How the waves are split."""
    return "Of five waves three train, one validates and one tests."


def figures(config: ToyRun, prediction: xr.Dataset, items: Waves, again: object = None) -> dict[str, Figure]:
    """The probabilities as points."""
    figure = Figure()
    figure.subplots().plot(prediction["probability"].values)
    return {"points": figure}


def sounds(config: ToyRun, prediction: xr.Dataset, items: Waves, again: object = None) -> dict[str, Sound]:
    """The first wave to be heard, and its class."""
    group = f"Wave {items.ids[0]}"
    return {
        "wave": Sound(items.values[0] / 4, 8000, "the wave", group),
        "twice": Sound(items.values[0], 8000, "", group),
    }


def joint_figures(predictions: Mapping[str, xr.Dataset]) -> dict[str, Figure]:
    """The first class's probability in every run."""
    figure = Figure(label=f"Runs {' and '.join(predictions)} together.")
    axes = figure.subplots()
    for name, prediction in predictions.items():
        axes.plot(prediction["probability"].values[:, 0], label=name)
    return {"runs": figure}
