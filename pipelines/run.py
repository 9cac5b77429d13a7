"""A finished run as a Python object, for notebooks and scripts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import xarray as xr
from matplotlib.figure import Figure
from torch import nn

from armillary.core.config import RunConfig
from armillary.core.domain import Domain, Items, ReadOptions, Split
from armillary.core.errors import DataError, RunError
from armillary.pipelines.checkpoints import load_model_weights
from armillary.pipelines.config import load_config
from armillary.pipelines.folder import RunFolder, read_json
from armillary.pipelines.inference import join, predict_items
from armillary.pipelines.locate import dataset_folders
from armillary.pipelines.plugins import load_domain


class Run:
    """One run folder. `Run.load(path)` opens it; `train` returns it."""

    def __init__(self, folder: RunFolder, config: RunConfig, data_root: Path | None = None) -> None:
        self.folder = folder
        self.config = config
        self._data_root = data_root
        self._items: dict[Split, Items] = {}

    @classmethod
    def load(cls, path: str | Path, *, data_root: str | Path | None = None) -> "Run":
        """The run in a folder.

        Raises:
            RunError: no run there, or its files are damaged.
        """
        folder = RunFolder(Path(path))
        if not folder.path.is_dir():
            raise RunError(f"{folder.path}: no such folder. Give a run folder made by `armillary train`.")
        root = None if data_root is None else Path(data_root)
        return cls(folder, load_config(folder).config, root)

    def __repr__(self) -> str:
        about = self.folder.model / "model.json"
        if not about.exists():
            return f"Run({str(self.folder.path)!r}, recipe={self.config.recipe!r}, unfinished)"
        facts = read_json(about)
        scores = [f"{key} {value:.4f}" for key, value in facts.items() if key.startswith("validation") and value]
        return (
            f"Run({str(self.folder.path)!r}, recipe={self.config.recipe!r}, "
            f"{facts['parameters']:,} parameters, {', '.join(scores)})"
        )

    @property
    def domain(self) -> Domain:
        """The domain that the run belongs to."""
        return load_domain(self.config.domain)

    @cached_property
    def model(self) -> nn.Module:
        """The finished model, in evaluation mode."""
        model = self.domain.build(self.config)
        model.load_state_dict(load_model_weights(self.folder))
        return model.eval()

    def items(self, split: Split) -> Items:
        """One split of the run's own data, read once."""
        if split not in self._items:
            folders = dataset_folders(self.domain, self.config, self._data_root)
            self._items[split] = self.domain.datasets(self.config, folders, split)
        return self._items[split]

    def read(self, paths: Sequence[str | Path], report: Callable[[DataError], None] = print) -> Iterator[xr.Dataset]:
        """Labelled chunks of the field's files; what cannot be used is handed to `report`, and the rest goes on."""
        options = ReadOptions(report, settings=self.config.predict)
        return self.domain.read([Path(path) for path in paths], options)

    def predict(self, dataset: xr.Dataset | Iterable[xr.Dataset]) -> xr.Dataset:
        """Predictions for labelled data, such as `run.read(paths)` yields or a notebook makes.

        Raises:
            DataError: the data do not fit the model (an unknown band, say).
        """
        chunks = [dataset] if isinstance(dataset, xr.Dataset) else list(dataset)
        if not chunks:
            raise ValueError("nothing to predict: expected at least one dataset")
        return join([self._predict_chunk(chunk) for chunk in chunks])

    def _predict_chunk(self, chunk: xr.Dataset) -> xr.Dataset:
        items = self.domain.items(self.config, chunk)
        return predict_items(self.domain, self.config, self.model, items)

    def evaluate(self, split: Split = "test") -> dict[str, Any]:
        """Metrics with intervals, baselines beside; also written to the run folder."""
        from armillary.pipelines.evaluate import evaluate

        return evaluate([self], split)

    def export(
        self, formats: Sequence[Literal["onnx", "torch"]], *, int8: bool = False, out: str | Path | None = None
    ) -> dict[str, dict[str, Any]]:
        """Files that load with onnxruntime or torch alone, below `out` (default: `export` in the run folder).

        Returns the model card of each format. Each file was compared with the model; an int8 file that loses more
        than a point of accuracy warns.
        """
        from armillary.pipelines.export import export

        return export(self, formats, int8=int8, out=None if out is None else Path(out))

    def figures(self, split: Split = "test") -> dict[str, Figure]:
        """Named figures of the split's predictions."""
        items = self.items(split)
        return self.draw(predict_items(self.domain, self.config, self.model, items), items)

    def draw(self, prediction: xr.Dataset, items: Items) -> dict[str, Figure]:
        """Named figures of a prediction; figures of single items may run the model on them once more."""

        def again(some: Items, options: Any) -> xr.Dataset:
            config = self.config.model_copy(update={"predict": options})
            return predict_items(self.domain, config, self.model, some)

        return dict(self.domain.figures(self.config, prediction, items, again))


def load_runs(paths: Sequence[str | Path], data_root: Path | None = None) -> list[Run]:
    """Several runs of one recipe, such as the folds of a cross-validation.

    Raises:
        RunError: the recipes differ.
    """
    runs = [Run.load(path, data_root=data_root) for path in paths]
    recipes = sorted({run.config.recipe for run in runs})
    if len(recipes) > 1:
        raise RunError(f"these runs are of different recipes: {', '.join(recipes)}. Evaluate them one by one.")
    return runs
