"""A run that starts from the weights of a finished one: fine-tuning after a pre-training, or on other data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from armillary.core.config import RunConfig, StartSettings
from armillary.core.errors import RunError
from armillary.pipelines.checkpoints import load_model_weights
from armillary.pipelines.sources import SourceRun, open_source


@dataclass(frozen=True)
class Start:
    """A run to start from, and what to leave of it."""

    source: SourceRun
    settings: StartSettings

    def give(self, model: nn.Module) -> dict[str, Any]:
        """Copies the weights that both have by name into the model; returns what was copied and what was not.

        Buffers are copied too (moments of a batch norm); scalers are fitted anew afterwards.

        Raises:
            RunError: nothing in common, or tensors of one name have two shapes.
        """
        own, theirs = model.state_dict(), load_model_weights(self.source.run.folder)
        chosen = {name: theirs[name] for name in own if name in theirs and not name.startswith(self.settings.leave)}
        self._check(own, theirs, chosen)
        model.load_state_dict(chosen, strict=False)
        left = sorted(name for name in theirs if name not in chosen)
        return {"copied": len(chosen), "new": sorted(own.keys() - chosen.keys()), "left": left}

    def _check(self, own: dict[str, Tensor], theirs: dict[str, Tensor], chosen: dict[str, Tensor]) -> None:
        if not chosen:
            raise RunError(
                f"{self.source.where}: has no weights in common with this run: it has {_some(theirs)}, this run "
                f"{_some(own)}.\n  Give a run of the same architecture, or a shorter start.leave."
            )
        for name, value in chosen.items():
            if value.shape != own[name].shape:
                part = name.rpartition(".")[0] or name
                raise RunError(
                    f"{self.source.where}: {name} has the shape {tuple(value.shape)}, this run's "
                    f"{tuple(own[name].shape)}.\n  Give both the same model.*, or leave it out with "
                    f"--set 'start.leave=[{part}]'."
                )


def find_start(config: RunConfig, data_root: Path | None) -> Start | None:
    """The run that a configuration starts from; None where it names none.

    Raises:
        ConfigError: a start is wanted, but not which. RunError: no finished run of this domain there.
    """
    settings = config.start
    if settings is None:
        return None
    source = open_source("start", "start.run", settings.run, settings.recipe, config, data_root)
    return Start(source, settings)


def _some(weights: dict[str, Tensor]) -> str:
    names = list(weights)
    return f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
