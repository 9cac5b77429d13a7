"""A finished run as the teacher of another; see lesson.py for what it teaches."""

from dataclasses import dataclass
from pathlib import Path

from armillary.core.config import DistillSettings, RunConfig
from armillary.core.errors import RunError
from armillary.pipelines.run import Run
from armillary.pipelines.sources import SourceRun, open_source


@dataclass(frozen=True)
class Teacher:
    """A run that teaches, and how."""

    source: SourceRun
    settings: DistillSettings

    @property
    def run(self) -> Run:
        return self.source.run


def find_teacher(config: RunConfig, data_root: Path | None) -> Teacher | None:
    """The teacher that a configuration names; None where it names none.

    Raises:
        ConfigError: a teacher is wanted, but not which. RunError: no finished run there, or one of other classes.
    """
    settings = config.distill
    if settings is None:
        return None
    source = open_source("teacher", "distill.run", settings.run, settings.teacher, config, data_root)
    theirs, ours = _classes(source.run.config), _classes(config)
    if theirs != ours:
        raise RunError(
            f"{source.where}: the teacher tells apart {theirs}, this run {ours}; expected the same classes in the same "
            "order.\n  Give another teacher, or set data.classes to the teacher's."
        )
    return Teacher(source, settings)


def _classes(config: RunConfig) -> list[str] | None:
    """What the scores of a configuration are of, where its data settings list it."""
    classes = getattr(config.data, "classes", getattr(config.data, "names", None))
    return None if classes is None else list(classes)
