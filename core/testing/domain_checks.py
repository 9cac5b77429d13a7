"""The checks of the domain kit, one function each; an AssertionError says what does not hold."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from itertools import combinations, islice
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from torch.utils.data import DataLoader

from armillary.core.config import RunConfig
from armillary.core.domain import Items, Lazy, ReadOptions
from armillary.core.testing.domains import Subject, read_all, same_items, split_groups, steps


def check_imports_without_torch(subject: Subject) -> None:
    """Loading the entry point and every recipe leaves torch alone."""
    code = (
        "import sys; from importlib.metadata import entry_points\n"
        f"found = entry_points(group='armillary.domains', name={subject.domain.name!r})\n"
        "domain = next(iter(found)).load()\n"
        "[recipe() for recipe in domain.recipes.values()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"torch is imported, or loading failed: {done.stderr[-500:]}"


def check_recipes_are_complete(subject: Subject) -> None:
    """Each recipe has a docstring and returns a configuration of its own name."""
    assert subject.domain.demo in subject.domain.recipes, f"the demo recipe '{subject.domain.demo}' does not exist"
    for name, recipe in subject.domain.recipes.items():
        config = recipe()
        assert isinstance(config, RunConfig), f"{name} returns {type(config).__name__}, expected a RunConfig"
        assert config.recipe == f"{subject.domain.name}/{name}", f"{name} calls itself {config.recipe}"
        function: Any = recipe.resolve() if isinstance(recipe, Lazy) else recipe
        assert (function.__doc__ or "").strip(), f"{name} has no docstring; it names the paper and what to expect"
        again = type(config).model_validate(config.model_dump(mode="json"))
        assert again == config, f"{name} changes when it is written to JSON and read again"
        for card in subject.domain.uses(config):
            assert card in subject.cards, f"{name} uses the card '{card}', which is not in {subject.domain.cards}"


def check_cards_name_licence_and_group(subject: Subject) -> None:
    """Each card has a licence and the group that splits must not straddle."""
    assert subject.cards, f"{subject.domain.cards} holds no card"
    for card in subject.cards.values():
        assert card.domain == subject.domain.name, f"card {card.id} is of domain {card.domain}"
        assert str(card.licence).strip(), f"card {card.id} has no licence"
        assert card.group_key.strip(), f"card {card.id} has no group_key"


def check_reader_skips_the_broken_item(subject: Subject) -> None:
    """The twin's deliberately broken item is reported; the others come out, labelled and with units."""
    for card, folder in subject.data.items():
        chunks, problems = read_all(subject, folder)
        assert chunks, f"nothing was read from the twin of {card}"
        assert problems, f"the twin of {card} holds a broken item, but no problem was reported"
        for problem in problems:
            assert problem.path is not None, f"a problem names no file: {problem}"
        assert any("units" in v.attrs for chunk in chunks for v in chunk.variables.values()), "no variable has units"


def check_missing_file_is_reported(subject: Subject) -> None:
    """A file that is not of the field is one clear problem, not a crash."""
    path = subject.folder / "nonsense.bin"
    path.write_bytes(bytes(range(256)) * 4)
    chunks, problems = read_all(subject, path)
    assert not chunks, "nonsense was read as data"
    assert problems, "nonsense was passed over silently"
    assert str(path.name) in str(problems[0]), f"the problem does not name the file: {problems[0]}"


def check_splits_are_disjoint(subject: Subject) -> None:
    """No group is in two splits, and none is empty."""
    groups = split_groups(subject)
    for split, members in groups.items():
        assert members, f"the {split} split of the twin is empty"
    for one, other in combinations(groups, 2):
        shared = groups[one] & groups[other]
        assert not shared, f"{one} and {other} share groups: {sorted(shared)[:3]}"


def check_items_are_functions_of_epoch_and_index(subject: Subject) -> None:
    """The same key gives the same item, whatever was asked before."""
    items = subject.items("train")
    first = [copy.deepcopy(items[(epoch, 0)]) for epoch in (0, 1, 2)]
    for index in range(min(len(items), 5)):
        items[(3, index)]
    for epoch, item in enumerate(first):
        assert same_items(item, items[(epoch, 0)]), f"item 0 of epoch {epoch} changes from call to call"


def check_items_can_be_sent_to_a_worker(subject: Subject) -> None:
    """A worker process started afresh (spawn) needs the items pickled."""
    items = subject.items("train")
    again: Items = pickle.loads(pickle.dumps(items))
    assert same_items(items[(1, 0)], again[(1, 0)]), "an item differs after pickling"


def check_workers_change_nothing(subject: Subject) -> None:
    """Batches are the same with no worker and with two spawned ones."""
    items = subject.items("train")
    keys = [[(1, i) for i in range(start, min(start + 4, len(items)))] for start in range(0, min(len(items), 12), 4)]
    alone, workers = (
        list(DataLoader(items, batch_sampler=keys, collate_fn=items.collate, **options))  # pyright: ignore[reportArgumentType]
        for options in ({}, {"num_workers": 2, "multiprocessing_context": "spawn"})
    )
    assert len(alone) == len(workers)
    for one, other in zip(alone, workers, strict=True):
        assert same_items(one, other), "a batch differs when workers load it"


def check_collate_pads_ragged_items(subject: Subject) -> None:
    """Tensors of a batch share their first axis, 'index' names the items."""
    batch = subject.batch
    sizes = {key: len(value) for key, value in batch.items() if isinstance(value, torch.Tensor)}
    assert len(set(sizes.values())) == 1, f"first axes differ: {sizes}"
    assert batch["index"].tolist() == list(range(len(batch["index"]))), "'index' does not name the items"


def check_company_changes_no_prediction(subject: Subject) -> None:
    """An item alone and in a batch of longer ones gets the same prediction: padding is masked."""
    items, model = subject.items("validation"), subject.model().eval()
    with torch.inference_mode():
        together = items.collate([items[(0, i)] for i in range(min(len(items), 8))])
        many = next(iter(model.predict(together, subject.config.predict)))  # pyright: ignore[reportCallIssue]
        alone = items.collate([items[(0, 0)]])
        one = next(iter(model.predict(alone, subject.config.predict)))  # pyright: ignore[reportCallIssue]
    for key, value in one.items():
        if value.shape[1:] == many[key].shape[1:]:
            torch.testing.assert_close(
                value[0], many[key][0], rtol=1e-4, atol=1e-5, msg=f"'{key}' depends on its company"
            )


def check_steps_lower_the_loss(subject: Subject) -> None:
    """A few steps on one batch lower its loss."""
    model = subject.model().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = list(steps(model, subject.batch, optimiser, range(12)))
    assert all(np.isfinite(losses)), f"losses are not finite: {losses}"
    assert min(losses[-3:]) < losses[0], f"the loss does not fall: {losses[0]:.4f} to {min(losses[-3:]):.4f}"


def check_weights_survive_saving(subject: Subject) -> None:
    """A model rebuilt from its state gives the same predictions to the bit."""
    model, other = subject.model(), subject.domain.build(subject.config)
    list(steps(model, subject.batch, torch.optim.Adam(model.parameters(), lr=1e-3), range(2)))
    buffer = BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    items = subject.items("validation")
    xr.testing.assert_identical(subject.predictions(model, items), subject.predictions(other, items))


def check_resumed_training_equals_the_straight_run(subject: Subject) -> None:
    """Four steps equal two, a save and a load, and two more, to the bit."""
    straight, halted = subject.model().train(), subject.model().train()
    list(steps(straight, subject.batch, torch.optim.Adam(straight.parameters(), lr=1e-3), range(4)))
    optimiser = torch.optim.Adam(halted.parameters(), lr=1e-3)
    list(steps(halted, subject.batch, optimiser, range(2)))
    resumed = subject.domain.build(subject.config).train()
    resumed.load_state_dict(copy.deepcopy(halted.state_dict()))
    again = torch.optim.Adam(resumed.parameters(), lr=1e-3)
    again.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    list(steps(resumed, subject.batch, again, range(2, 4)))
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), f"{name} differs after a resumed run"


def check_metrics_hold_their_identities(subject: Subject) -> None:
    """Metrics ignore the order of the items and a common factor of the weights; the primary one exists."""
    records = subject.predictions(subject.model(), subject.items("validation"))
    metrics = subject.domain.metrics(subject.config)
    assert metrics.primary in [metric.name for metric in metrics.metrics], f"primary '{metrics.primary}' is unknown"
    ones = np.ones(records.sizes["item"])
    assert np.isfinite(metrics[metrics.primary].value(records, ones)), "the primary metric is not finite"
    turned = records.isel(item=slice(None, None, -1)) if "observation" not in records.dims else records
    for metric in metrics.metrics:
        value = metric.value(records, ones)
        np.testing.assert_allclose(metric.value(records, 3 * ones), value, rtol=1e-6, err_msg=f"{metric.name}: weights")
        np.testing.assert_allclose(metric.value(turned, ones), value, rtol=1e-6, err_msg=f"{metric.name}: order")


def check_predictions_are_written(subject: Subject) -> None:
    """Every format is written, those of `streams` from a file that was read; NetCDF comes back as it was."""
    model = subject.model()
    prediction = subject.predictions(model, subject.items("validation"))
    of_file = _of_first_item(subject, model)
    for suffix in subject.domain.formats:
        path = subject.folder / f"prediction{suffix}"
        subject.domain.write(of_file if suffix in subject.domain.streams else prediction, path)
        assert path.exists(), f"{suffix}: nothing was written"
        if suffix == ".nc":
            with xr.open_dataset(path) as again:
                for name in prediction.data_vars:
                    np.testing.assert_array_equal(again[name].values, prediction[name].values, err_msg=str(name))


def _of_first_item(subject: Subject, model: nn.Module) -> xr.Dataset:
    """What the model says of the first item that is read from the twins."""
    options = ReadOptions(lambda _: None, chunk_items=1, settings=subject.config.predict)
    chunk = next(iter(subject.domain.read(list(subject.data.values()), options)))
    return subject.predictions(model, subject.domain.items(subject.config, chunk))


def check_figures_draw(subject: Subject) -> None:
    """Figures of the demo's predictions can be saved, and there is at least one."""
    items = subject.items("test")
    figures = subject.domain.figures(subject.config, subject.predictions(subject.model(), items), items, None)
    assert figures, "there is no figure"
    for name, figure in islice(figures.items(), 20):
        buffer = BytesIO()
        figure.savefig(buffer, format="png")
        assert buffer.tell() > 2000, f"figure '{name}' is empty"


def check_baselines_speak_the_same_language(subject: Subject) -> None:
    """Each baseline fits and gives records that the metrics read."""
    metrics = subject.domain.metrics(subject.config)
    baselines = subject.domain.baselines(subject.config)
    assert baselines, "there is no baseline to report beside the model"
    for name, baseline in baselines.items():
        baseline.fit(subject.items("train"), subject.items("validation"))
        records = baseline.predict(subject.items("test"))
        value = metrics[metrics.primary].value(records, np.ones(records.sizes["item"]))
        assert np.isfinite(value), f"baseline '{name}': {metrics.primary} is {value}"


DOMAIN_CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_imports_without_torch,
    check_recipes_are_complete,
    check_cards_name_licence_and_group,
    check_reader_skips_the_broken_item,
    check_missing_file_is_reported,
    check_splits_are_disjoint,
    check_items_are_functions_of_epoch_and_index,
    check_items_can_be_sent_to_a_worker,
    check_workers_change_nothing,
    check_collate_pads_ragged_items,
    check_company_changes_no_prediction,
    check_steps_lower_the_loss,
    check_weights_survive_saving,
    check_resumed_training_equals_the_straight_run,
    check_metrics_hold_their_identities,
    check_predictions_are_written,
    check_figures_draw,
    check_baselines_speak_the_same_language,
)
