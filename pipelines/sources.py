"""A finished run that another one builds on: opened, compared by digest, and kept apart from what judges the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from armillary.core.config import RunConfig
from armillary.core.domain import Domain, Split
from armillary.core.errors import ConfigError, RunError
from armillary.pipelines.folder import read_json
from armillary.pipelines.locate import dataset_folders
from armillary.pipelines.run import Run


@dataclass(frozen=True)
class SourceRun:
    """A run that another reads. setting: what names it ("distill.run"), and path: how; `sha256` of its weights.

    role: "teacher" or "start".
    """

    role: str
    setting: str
    path: str
    run: Run
    sha256: str

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"{self.setting}={self.path}"

    def record(self) -> dict[str, Any]:
        """What travels with the run that builds on it: which run, which recipe, which weights."""
        return {"run": self.path, "recipe": self.run.config.recipe, "sha256": self.sha256}


def open_source(
    role: str, setting: str, path: str | None, recipe: str | None, config: RunConfig, data_root: Path | None
) -> SourceRun:
    """The finished run in a folder; `recipe` is one that makes such a run, named where no folder is given.

    Raises:
        ConfigError: no folder is named. RunError: no finished run there, or one of another domain.
    """
    if path is None:
        raise ConfigError(_how_to_get_one(role, setting, recipe, config))
    run = Run.load(path, data_root=data_root)
    if run.config.domain != config.domain:
        raise RunError(
            f"{setting}={path}: is a run of {run.config.domain}, and this one of {config.domain}. "
            "Give one of that domain."
        )
    _ = run.model  # reads and checks the weights now, before anything is written
    return SourceRun(role, setting, path, run, str(read_json(run.folder.model / "model.json")["sha256"]))


def check_unchanged(source: SourceRun, record: Path) -> None:
    """Refuses to go on with another run than the one whose `record` was written at the beginning.

    Raises:
        RunError: with both digests.
    """
    known = read_json(record)
    if known["sha256"] != source.sha256:
        raise RunError(
            f"{source.where}: its weights have sha256 {source.sha256[:12]}..., the run in "
            f"{record.parent} began with {known['sha256'][:12]}... of {known['run']}.\n"
            f"  Give the {source.role} it began with (--set {source.setting}=DIR), or start a new run."
        )


def check_splits(source: SourceRun, domain: Domain, config: RunConfig, data_root: Path | None) -> None:
    """Refuses a source that was trained on what this run is judged on: this run would learn it through it.

    Splits are compared where both read a card in common with different `data` settings.

    Raises:
        RunError: with the number of groups and one of them.
    """
    theirs = source.run.config
    if theirs.data == config.data or not set(domain.uses(theirs)) & set(domain.uses(config)):
        return

    def groups(of: RunConfig, split: Split) -> set[str]:
        return set(map(str, domain.datasets(of, dataset_folders(domain, of, data_root), split).groups))

    taught = groups(theirs, "train")
    for split in ("validation", "test"):
        if shared := taught & groups(config, split):
            raise RunError(
                f"{source.where}: {len(shared)} groups of this run's {split} split trained the "
                f"{source.role}, {min(shared)!r} among them, so no score of this run could be trusted.\n"
                f"  Give both runs the same split (data.*), or train another {source.role}."
            )


def with_cards_of(own: Sequence[dict[str, Any]], sources: Sequence[SourceRun]) -> list[dict[str, Any]]:
    """The records of a run's data cards and those of its sources', whose licences bind it too."""
    records = list(own)
    for source in sources:
        known = {(card["id"], card["sha256"]) for card in records}
        others = [card for card in read_json(source.run.folder.cards) if (card["id"], card["sha256"]) not in known]
        records += [{**card, "read_by": source.role} for card in others]
    return records


def _how_to_get_one(role: str, setting: str, recipe: str | None, config: RunConfig) -> str:
    section = setting.partition(".")[0]
    head = f"{config.recipe}: {setting} is not set; it names the folder of a finished run, the {role}.\n"
    alone = f"To train without a {role}, --set {section}=null."
    if recipe is None:
        return f"{head}  Add --set {setting}=DIR. {alone}"
    folder = f"runs/{recipe.replace('/', '-')}"
    return (
        f"{head}  Make one with `armillary train {recipe} --out {folder}`, then add --set {setting}={folder}. {alone}"
    )
