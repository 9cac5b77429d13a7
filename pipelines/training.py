"""`train`: from a recipe to a finished run folder; stops anywhere, goes on exactly."""

import logging
import sys
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

from armillary.core.config import RunConfig
from armillary.core.config.overrides import Override, Resolved
from armillary.core.domain import Domain, Items
from armillary.core.errors import ConfigError, RunError
from armillary.core.random import derive_seed
from armillary.pipelines.checkpoints import (
    best_checkpoint,
    chosen_weights,
    load_checkpoint,
    newest_checkpoint,
    save_model,
)
from armillary.pipelines.config import changed, load_config, resolve_recipe
from armillary.pipelines.distillation import Teacher, find_teacher
from armillary.pipelines.folder import RunFolder, describe_machine, new_folder, write_config, write_json
from armillary.pipelines.inference import batches
from armillary.pipelines.keeper import Keeper
from armillary.pipelines.lesson import make_lesson
from armillary.pipelines.locate import card_records, dataset_folders
from armillary.pipelines.module import TrainingModule
from armillary.pipelines.plugins import load_domain
from armillary.pipelines.progress import ProgressBar
from armillary.pipelines.run import Run
from armillary.pipelines.sampling import BatchSampler, Schedule, item_lengths, steps_per_epoch
from armillary.pipelines.sources import SourceRun, check_splits, check_unchanged, with_cards_of
from armillary.pipelines.warm_start import Start, find_start

_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
# What may differ when a run goes on: it changes how fast, not which numbers.
# Runs that it builds on may have moved; their digests tell that they are the same.
_FREE_ON_RESUME = ("train.workers", "train.threads", "train.device", "start.run", "distill.run")


def train(
    recipe: str,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    data_root: str | Path | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    overrides: Sequence[Override] = (),
    quiet: bool = False,
) -> Run:
    """Trains a recipe and returns its run.

    `set` maps dotted settings to values, as {"optim.lr": 1e-3}. With `resume`, `out` is a run folder that goes
    on after its newest checkpoint; the final weights equal those of an undisturbed run bit for bit on a CPU.

    Raises:
        ConfigError, CardError, DataError, RunError: with what to do.
    """
    given = [*overrides, *(Override(k, v, f"{k}={v!r}") for k, v in (set or {}).items())]
    given += [Override("train.epochs", epochs, f"epochs={epochs}")] if epochs is not None else []
    given += [Override("seed", seed, f"seed={seed}")] if seed is not None else []
    folder, resolved = _open(recipe, None if out is None else Path(out), resume, given)
    config = resolved.config
    if not (folder.model / "model.json").exists():
        domain, root = load_domain(config.domain), None if data_root is None else Path(data_root)
        if config.train.threads is not None:
            torch.set_num_threads(config.train.threads)
        built_on = _BuiltOn(find_start(config, root), find_teacher(config, root))
        train_items, validation_items = _items(domain, config, root)
        _tell_problems({"train": train_items, "validation": validation_items})
        built_on.check(folder, domain, config, root)
        module, taken = _module(domain, config, built_on, train_items)
        if not folder.config.exists():
            # Only now: a run that cannot read its data leaves no folder behind.
            _begin(folder, domain, resolved, built_on, taken)
        _fit(folder, domain, module, train_items, validation_items, quiet)
    return Run.load(folder.path, data_root=data_root)


def _open(
    recipe: str, out: Path | None, resume: bool, given: Sequence[Override]
) -> tuple[RunFolder, Resolved[RunConfig]]:
    if not resume:
        resolved = resolve_recipe(recipe, given)
        return new_folder(recipe, out), resolved
    if out is None:
        raise RunError("resume needs the run folder to go on with: give --out DIR.")
    folder = RunFolder(out)
    saved = load_config(folder)
    if saved.config.recipe != recipe:
        raise RunError(f"{out}: holds a run of {saved.config.recipe}, not of {recipe}. Give the matching recipe.")
    wanted = resolve_recipe(recipe, [*saved.overrides(), *given])
    for path in changed(saved.config, wanted.config):
        if path not in _FREE_ON_RESUME:
            raise ConfigError(
                f"{wanted.origin(path)}: {path} differs from the run in {out}; a resumed run keeps its settings.\n"
                f"  Leave it out, or start a new run. (These may change: {', '.join(_FREE_ON_RESUME)})"
            )
    return folder, wanted


def _tell_problems(splits: Mapping[str, Items]) -> None:
    """One line for each split of which something is left out."""
    for name, items in splits.items():
        if items.problems:
            first = str(items.problems[0])
            print(f"{name}: {len(items.problems)} problem(s) with the data, the first: {first}", file=sys.stderr)


@dataclass(frozen=True)
class _BuiltOn:
    """The finished runs that a new one builds on."""

    start: Start | None
    teacher: Teacher | None

    @property
    def sources(self) -> list[SourceRun]:
        return [one.source for one in (self.start, self.teacher) if one is not None]

    def check(self, folder: RunFolder, domain: Domain, config: RunConfig, data_root: Path | None) -> None:
        """Refuses runs that are not those of the beginning, or that were trained on what judges this one."""
        records = {"start": folder.start, "teacher": folder.distill}
        for source in self.sources:
            if folder.config.exists():
                check_unchanged(source, records[source.role])
            else:
                check_splits(source, domain, config, data_root)


def _begin(
    folder: RunFolder, domain: Domain, resolved: Resolved[RunConfig], built_on: _BuiltOn, taken: Mapping[str, Any]
) -> None:
    """Writes what a new run is made of; the configuration last, since it says that a run is there.

    taken: what came from the start.
    """
    write_json(folder.environment, describe_machine())
    write_json(folder.cards, with_cards_of(card_records(domain, resolved.config), built_on.sources))
    if built_on.start is not None:
        write_json(folder.start, {**built_on.start.source.record(), **taken})
    if built_on.teacher is not None:
        write_json(folder.distill, built_on.teacher.source.record())
    write_config(folder, resolved.config, dict(resolved.origins))


def _items(domain: Domain, config: RunConfig, data_root: Path | None) -> tuple[Items, Items]:
    """The training and the validation split, neither of them empty."""
    folders = dataset_folders(domain, config, data_root)
    train_items = domain.datasets(config, folders, "train")
    validation_items = domain.datasets(config, folders, "validation")
    if not len(train_items) or not len(validation_items):
        raise RunError(
            f"{config.recipe}: {len(train_items)} items to train on and {len(validation_items)} to "
            "validate on; both need at least one. Look at data.* with `armillary config show`."
        )
    return train_items, validation_items


def _module(
    domain: Domain, config: RunConfig, built_on: _BuiltOn, train_items: Items
) -> tuple[TrainingModule, dict[str, Any]]:
    """The model with its scalers, its optimiser and, with a teacher, its lesson; and what it took from its start."""
    model = build_model(domain, config)
    taken = {} if built_on.start is None else built_on.start.give(model)
    model.fit(train_items)  # pyright: ignore[reportCallIssue]
    teacher = built_on.teacher
    lesson = None if teacher is None else make_lesson(teacher, model, config, train_items)
    return TrainingModule(model, config, _total_steps(config, train_items), lesson), taken


def _fit(
    folder: RunFolder, domain: Domain, module: TrainingModule, train_items: Items, validation_items: Items, quiet: bool
) -> None:
    config = module.config
    keeper = Keeper(
        folder, domain, module, validation_items, steps_per_epoch(len(train_items), config.train.batch_size)
    )
    newest = newest_checkpoint(folder)
    if newest is not None:
        checkpoint = load_checkpoint(newest)
        module.from_checkpoint(checkpoint)
        keeper.go_on(checkpoint.progress)
    with ProgressBar(config.recipe, module.total_steps, module.done_steps, quiet=quiet) as bar:
        keeper.bar = bar
        if module.done_steps < module.total_steps and not keeper.stopped:
            _run_steps(folder, config, module, keeper, train_items)
    _finish(folder, domain, config, validation_items)


def build_model(domain: Domain, config: RunConfig) -> nn.Module:
    """The model of a configuration; its initial weights depend on the seed alone."""
    torch.manual_seed(derive_seed(config.seed, "initialise"))
    return domain.build(config)


def _total_steps(config: RunConfig, items: Items) -> int:
    return config.train.steps or config.train.epochs * steps_per_epoch(len(items), config.train.batch_size)


def _run_steps(folder: RunFolder, config: RunConfig, module: TrainingModule, keeper: Keeper, items: Items) -> None:
    schedule = Schedule(
        config.seed, len(items), config.train.batch_size, module.done_steps, module.total_steps, item_lengths(items)
    )
    loader = DataLoader(
        items,  # pyright: ignore[reportArgumentType]
        batch_sampler=BatchSampler(schedule),
        collate_fn=items.collate,
        num_workers=config.train.workers,
    )
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[config.train.device],
            devices=1,
            precision=_PRECISION[config.train.precision],  # pyright: ignore[reportArgumentType]
            max_epochs=1,  # one pass over the loader, which holds every remaining step of the run
            min_epochs=0,
            gradient_clip_val=config.optim.clip_norm,
            callbacks=[keeper],
            # Events that a killed run wrote beyond its checkpoint are hidden.
            logger=TensorBoardLogger(folder.path, name="", version="tensorboard", purge_step=module.done_steps),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, loader)


def _finish(folder: RunFolder, domain: Domain, config: RunConfig, validation: Items) -> None:
    """The best checkpoint, calibrated on validation, becomes the run's model."""
    path = best_checkpoint(folder)
    checkpoint = load_checkpoint(path)
    model = build_model(domain, config)
    model.load_state_dict(chosen_weights(checkpoint))
    model.eval()
    with torch.no_grad():
        # Each call reads the split anew: a calibration may need several passes.
        model.calibrate(lambda: batches(validation, config.evaluate.batch_size))  # pyright: ignore[reportCallIssue]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    progress = checkpoint.progress
    metric = domain.metrics(config).primary
    save_model(
        folder,
        model.state_dict(),
        {"recipe": config.recipe, "step": progress.step, f"validation {metric}": progress.best_value,
         "parameters": parameters, "cpu_seconds": round(_training_seconds(folder), 1)},
    )  # fmt: skip


def _training_seconds(folder: RunFolder) -> float:
    """Processor time of the whole training [s], from its newest checkpoint."""
    newest = newest_checkpoint(folder)
    return 0.0 if newest is None else load_checkpoint(newest).progress.cpu_seconds


@contextmanager
def _quiet_lightning() -> Generator[None]:
    """Lightning's banner and its advice on workers would bury the run's own lines."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
