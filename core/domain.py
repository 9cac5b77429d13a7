"""The plugin contract: what a domain hands to the pipelines. Importing this module does not import torch."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

from armillary.core.config.run import RunConfig
from armillary.core.errors import DataError, PluginError

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr
    from matplotlib.figure import Figure

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Size = Literal["default", "twin"]
Item = Mapping[str, Any]  # one example: arrays and scalars
Batch = dict[str, Any]  # a collated batch: tensors, and "index" (b,), the items' places in their dataset

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Lazy(Generic[P, R]):
    """A callable named by 'module:attribute', imported when it is first called."""

    target: str

    def resolve(self) -> Callable[P, R]:
        module, _, attribute = self.target.partition(":")
        try:
            return cast(Callable[P, R], getattr(importlib.import_module(module), attribute))
        except AttributeError as error:
            raise PluginError(f"{module} has no '{attribute}', which a plugin names as '{self.target}'") from error

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.resolve()(*args, **kwargs)


@dataclass(frozen=True)
class ReadOptions:
    """How to read files of a field.

    report: called with each file, row or item that cannot be used; reading goes on.
    chunk_items: items in one chunk at most; memory is bounded by it.
    settings: the run's `predict` settings, or None when no run is involved.
    """

    report: Callable[[DataError], None]
    chunk_items: int = 1024
    settings: Any = None


@runtime_checkable
class Items(Protocol):
    """A map-style dataset. Item i of epoch e is a function of (seed, e, i) alone; epoch 0 without augmentation
    is what validation, test and prediction read.

    ids: name of each item; groups: what must not straddle splits (patient, speaker, object, ...).
    problems: what was left out, and why. Ragged items may also tell their `lengths` (n,), to save padding.
    """

    ids: "np.ndarray"
    groups: "np.ndarray"
    problems: Sequence[DataError]

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int]) -> Item:
        """The item for key (epoch, index)."""
        ...

    def collate(self, items: Sequence[Item]) -> Batch: ...


@runtime_checkable
class Model(Protocol):
    """A plain torch.nn.Module with these methods besides."""

    def fit(self, items: Items) -> None:
        """Set what is estimated from training data before the first step (scalers), kept in buffers."""
        ...

    def loss(self, batch: Batch, generator: "torch.Generator") -> "dict[str, torch.Tensor]":
        """{"total": scalar, parts...}; all randomness from the generator except dropout's."""
        ...

    def predict(self, batch: Batch, options: Any) -> "Iterator[dict[str, torch.Tensor]]":
        """Outputs of one batch, first axis the item; one for a classifier, many for a rollout or samples."""
        ...

    def calibrate(self, batches: "Callable[[], Iterator[Batch]]") -> None:
        """Set what is chosen on the validation split after training (temperature), kept in buffers."""
        ...

    def after_step(self) -> None:
        """Explicit updates outside the gradient, after the optimiser's step."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A model that can teach another one, or be taught; a domain's classifiers do well to be that too."""

    def logits(self, batch: Batch) -> "torch.Tensor":
        """Class scores (b, k) of the items before any calibration; nothing random but dropout."""
        ...


@runtime_checkable
class Featured(Protocol):
    """A model whose last linear map can be looked behind."""

    def features(self, batch: Batch) -> "torch.Tensor":
        """What the last linear map reads (b, f)."""
        ...


@dataclass(frozen=True)
class Port:
    """One tensor that an exported model takes or gives.

    axes: their names, the first "item"; unit: of its numbers; about: what it is.
    padding: what stands in an input beyond the end of a shorter item.
    counts: whether an output counts what lies beyond another one (a rank, say). It jumps where the other differs by a
    rounding error, so an export tells its difference but is judged by the other.
    """

    axes: tuple[str, ...]
    unit: str = "1"
    about: str = ""
    padding: float = 0.0
    counts: bool = False


@dataclass(frozen=True)
class Interface:
    """What an exported model takes from a batch and gives of its `predict`, by the names that both use.

    ragged: axes besides the first whose length differs from batch to batch.
    """

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    ragged: tuple[str, ...] = ()


@runtime_checkable
class Exportable(Protocol):
    """A model that `armillary export` can write for other programs: its `predict` yields one answer a batch, from
    tensors alone. Normalisation and calibration are part of `predict`, so they go along.
    """

    def interface(self) -> Interface: ...


@dataclass(frozen=True)
class Metric:
    """One named number.

    value(records, weight): `records` is a prediction Dataset with truth, `weight` (item,) how often each item
    counts (a bootstrap resample is a weight vector). NaN where it is not defined.
    prepare(records): the same as a function of the weight alone, for a metric whose slow part (sorting, logarithms)
    does not depend on the weight; it is then done once for many resamples.
    """

    name: str
    value: "Callable[[xr.Dataset, np.ndarray], float]"
    direction: Literal["min", "max"]
    unit: str = "1"
    summary: str = ""
    prepare: "Callable[[xr.Dataset], Callable[[np.ndarray], float]] | None" = None

    def of(self, records: "xr.Dataset") -> "Callable[[np.ndarray], float]":
        """The metric of these records as a function of the weight."""
        return self.prepare(records) if self.prepare else partial(self.value, records)


@dataclass(frozen=True)
class MetricSet:
    """The metrics of a domain; `primary` chooses checkpoints on the validation split."""

    metrics: tuple[Metric, ...]
    primary: str

    def __getitem__(self, name: str) -> Metric:
        return next(metric for metric in self.metrics if metric.name == name)


ORACLE = "oracle"


@runtime_checkable
class Baseline(Protocol):
    """A simple method reported beside the model: fitted on train (validation for its choices), judged alike."""

    def fit(self, train: Items, validation: Items) -> None: ...

    def predict(self, items: Items) -> "xr.Dataset":
        """Records of the same schema as the model's."""
        ...


@dataclass(frozen=True)
class TrunkNeeds:
    """What a domain's model expects of a trunk that is handed in."""

    width: int
    causal: bool
    grid_rank: int = 0


# Predicts some items once more with other options of prediction: a figure of a few objects may need more than the
# predictions of all of them hold.
Again = Callable[[Items, Any], "xr.Dataset"]


@dataclass(frozen=True)
class Sound:
    """Something to be listened to in the report, one channel.

    samples: (n,), full scale 1.0; what is beyond it is cut off.
    label: what it is ("mixture"); group: what it is heard beside, a heading above the players of one group.
    """

    samples: "np.ndarray"
    sample_rate_hz: int
    label: str
    group: str = ""


@dataclass(frozen=True)
class LoadedRun:
    """A finished run as a domain's own verb gets it: the model is in evaluation mode, on the CPU."""

    name: str
    config: RunConfig
    model: "torch.nn.Module"


OpenRun = Callable[[Path], LoadedRun]  # the run in a folder; raises RunError


def unchanged(config: RunConfig) -> RunConfig:
    """The same configuration."""
    return config


@dataclass(frozen=True)
class Domain:
    """One science. All callables may be Lazy, so that importing a domain stays cheap and torch-free."""

    name: str
    title: str
    summary: str
    cards: str  # package whose YAML files are its data cards, e.g. "armillary.data_cards.transients"
    recipes: Mapping[str, Callable[[], RunConfig]]
    read: "Callable[[Sequence[Path], ReadOptions], Iterator[xr.Dataset]]"
    uses: Callable[[RunConfig], tuple[str, ...]]  # ids of the cards whose data a run reads
    datasets: "Callable[[RunConfig, Mapping[str, Path], Split], Items]"  # folders of those cards, by id
    items: "Callable[[RunConfig, xr.Dataset], Items]"
    build: "Callable[..., torch.nn.Module]"  # (config, trunk=None)
    trunk_needs: Callable[[RunConfig], TrunkNeeds]
    assemble: "Callable[[RunConfig, Items, Sequence[Mapping[str, np.ndarray]]], xr.Dataset]"
    metrics: Callable[[RunConfig], MetricSet]
    # By name. One that starts with ORACLE reads the truth it is judged by: a bound, which a report never calls best.
    baselines: Callable[[RunConfig], Mapping[str, Baseline]]
    write: "Callable[[xr.Dataset, Path], None]"
    # Suffixes `write` knows, e.g. (".csv", ".nc", ".zarr"); "" stands for a folder of files.
    formats: tuple[str, ...]
    figures: "Callable[[RunConfig, xr.Dataset, Items, Again | None], Mapping[str, Figure]]"
    simulate: "Callable[[str, Path, int, Size], Path]"  # (card, root, seed, size) -> dataset folder
    example_batch: "Callable[[RunConfig, int], Batch]"  # shapes for describe; may be meta tensors
    protocol: Callable[[RunConfig], str]  # sentences for the report: which sample, how it is split, what is put in
    # Suffixes of `formats` that can be written as predictions come: each opens a writer that takes them chunk by chunk;
    # the file appears whole when its block ends well, or not at all. "" has to be among them: its folder may hold other
    # files, so each file in it appears by itself.
    streams: "Mapping[str, Callable[[Path], AbstractContextManager[Callable[[xr.Dataset], None]]]]" = field(
        default_factory=dict[str, Any]
    )
    # Several runs of the domain in one figure: run name -> its predictions of the test split.
    joint_figures: "Callable[[Mapping[str, xr.Dataset]], Mapping[str, Figure]] | None" = None
    # Sounds for the report, by name; called as `figures` is.
    sounds: "Callable[[RunConfig, xr.Dataset, Items, Again | None], Mapping[str, Sound]] | None" = None
    # The configuration under which checkpoints are chosen: options of prediction that cost time, yet do not change the
    # primary metric, are off. Nothing else may differ.
    quick: Callable[[RunConfig], RunConfig] = unchanged
    demo: str = "simulated"  # the recipe that `armillary demo` runs, on simulated data
    commands: Mapping[str, Callable[[Sequence[str]], int]] = field(default_factory=dict[str, Any])
    # Verbs that work on a finished run, which they open by its folder: armillary DOMAIN VERB RUN ...
    run_commands: Mapping[str, Callable[[OpenRun, Sequence[str]], int]] = field(default_factory=dict[str, Any])
    # How many seconds of signal a prediction of files covers; what windows share counts once. `predict` then tells the
    # real-time factor.
    seconds: "Callable[[xr.Dataset], float] | None" = None
