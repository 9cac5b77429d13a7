"""A finished run as the teacher of another: found, compared, and recorded; see lesson.py for what it teaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from armillary.core.config import DistillSettings, RunConfig
from armillary.core.domain import Domain, Split
from armillary.core.errors import ConfigError, RunError
from armillary.pipelines.folder import RunFolder, read_json
from armillary.pipelines.locate import dataset_folders
from armillary.pipelines.run import Run


@dataclass(frozen=True)
class Teacher:
    """A run that teaches, and how. `sha256` is that of its weights."""

    run: Run
    settings: DistillSettings
    sha256: str

    def record(self) -> dict[str, Any]:
        """What travels with the student: which run, which recipe, which weights."""
        return {"run": self.settings.run, "recipe": self.run.config.recipe, "sha256": self.sha256}


def find_teacher(config: RunConfig, data_root: Path | None) -> Teacher | None:
    """The teacher that a configuration names; None where it names none.

    Raises:
        ConfigError: a teacher is wanted, but not which. RunError: no finished run there, or one of other classes.
    """
    settings = config.distill
    if settings is None:
        return None
    if settings.run is None:
        raise ConfigError(_how_to_get_one(config.recipe, settings))
    run = Run.load(settings.run, data_root=data_root)
    where = f"distill.run={settings.run}"
    if run.config.domain != config.domain:
        raise RunError(f"{where}: a run of {run.config.domain} cannot teach {config.domain}. Give one of that domain.")
    theirs, ours = _classes(run.config), _classes(config)
    if theirs != ours:
        raise RunError(
            f"{where}: the teacher tells apart {theirs}, this run {ours}; expected the same classes in the same "
            "order.\n  Give another teacher, or set data.classes to the teacher's."
        )
    _ = run.model  # reads and checks the weights now, before anything is written
    return Teacher(run, settings, str(read_json(run.folder.model / "model.json")["sha256"]))


def check_unchanged(teacher: Teacher, folder: RunFolder) -> None:
    """Refuses to go on with another teacher than the run began with.

    Raises:
        RunError: with both digests.
    """
    known = read_json(folder.distill)
    if known["sha256"] != teacher.sha256:
        raise RunError(
            f"distill.run={teacher.settings.run}: its weights have sha256 {teacher.sha256[:12]}..., the run in "
            f"{folder.path} began with {known['sha256'][:12]}... of {known['run']}.\n"
            "  Give the teacher it began with (--set distill.run=DIR), or start a new run."
        )


def check_splits(teacher: Teacher, domain: Domain, config: RunConfig, data_root: Path | None) -> None:
    """Refuses a teacher that was trained on what this run is judged on: the student would learn it through it.

    Splits are compared where teacher and student read a card in common with different `data` settings.

    Raises:
        RunError: with the number of groups and one of them.
    """
    theirs = teacher.run.config
    if theirs.data == config.data or not set(domain.uses(theirs)) & set(domain.uses(config)):
        return

    def groups(of: RunConfig, split: Split) -> set[str]:
        return set(map(str, domain.datasets(of, dataset_folders(domain, of, data_root), split).groups))

    taught = groups(theirs, "train")
    for split in ("validation", "test"):
        if shared := taught & groups(config, split):
            raise RunError(
                f"distill.run={teacher.settings.run}: {len(shared)} groups of this run's {split} split trained the "
                f"teacher, {min(shared)!r} among them, so no score of the student could be trusted.\n"
                "  Give both runs the same split (data.*), or train another teacher."
            )


def with_teachers_cards(own: Sequence[dict[str, Any]], teacher: Teacher | None) -> list[dict[str, Any]]:
    """The records of a run's data cards and those of its teacher's, whose licences bind the student too."""
    if teacher is None:
        return list(own)
    known = {(card["id"], card["sha256"]) for card in own}
    others = [card for card in read_json(teacher.run.folder.cards) if (card["id"], card["sha256"]) not in known]
    return [*own, *({**card, "read_by": "teacher"} for card in others)]


def _classes(config: RunConfig) -> list[str] | None:
    """The class names of a configuration, where its data settings list them."""
    classes = getattr(config.data, "classes", None)
    return None if classes is None else list(classes)


def _how_to_get_one(recipe: str, settings: DistillSettings) -> str:
    head = f"{recipe}: distill.run is not set; it names the folder of a finished run, the teacher.\n"
    alone = "To train without a teacher, --set distill=null."
    if settings.teacher is None:
        return f"{head}  Add --set distill.run=DIR. {alone}"
    folder = f"runs/{settings.teacher.replace('/', '-')}"
    return (
        f"{head}  Make one with `armillary train {settings.teacher} --out {folder}`, then add "
        f"--set distill.run={folder}. {alone}"
    )
