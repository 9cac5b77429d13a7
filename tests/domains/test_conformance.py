"""Every installed domain holds every check of the kit; the kit finds planted flaws."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from armillary.core.domain import Domain
from armillary.core.testing.domain_checks import (
    DOMAIN_CHECKS,
    check_company_changes_no_prediction,
    check_items_are_functions_of_epoch_and_index,
    check_reader_skips_the_broken_item,
    check_recipes_are_complete,
    check_splits_are_disjoint,
)
from armillary.core.testing.domains import Subject
from armillary.core.testing.offline import no_network
from armillary.pipelines.plugins import load_domain, load_domains

NAMES = tuple(load_domains())


@pytest.fixture(scope="module", params=NAMES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """A domain with its twin data, shared by all checks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARMILLARY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Subject(load_domain(request.param), tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("check", DOMAIN_CHECKS, ids=lambda check: check.__name__)
def test_the_domain_conforms(subject: Subject, check: Callable[[Subject], None]):
    with no_network():
        check(subject)


@pytest.fixture
def transients(tmp_path: Path) -> Subject:
    """The transients domain, to plant flaws in."""
    return Subject(load_domain("transients"), tmp_path)


def planted(subject: Subject, **parts: object) -> Subject:
    """The same domain with some of its parts replaced."""
    return Subject(replace(subject.domain, **parts), subject.folder)


def test_the_kit_finds_splits_that_share_an_object(transients: Subject):
    domain: Domain = transients.domain
    flawed = planted(transients, datasets=lambda config, folders, split: domain.datasets(config, folders, "train"))
    with pytest.raises(AssertionError, match="share groups"):
        check_splits_are_disjoint(flawed)


def test_the_kit_finds_items_that_depend_on_the_order_of_calls(transients: Subject):
    rng = np.random.default_rng(0)

    class Restless:
        def __init__(self, items: object) -> None:
            self.items = items
            self.ids, self.groups, self.problems, self.collate = items.ids, items.groups, (), items.collate

        def __len__(self) -> int:
            return len(self.items)

        def __getitem__(self, key: tuple[int, int]) -> dict[str, object]:
            item = dict(self.items[key])
            return {**item, "flux": item["flux"] + np.float32(rng.random())}

    domain = transients.domain
    flawed = planted(transients, datasets=lambda *arguments: Restless(domain.datasets(*arguments)))
    with pytest.raises(AssertionError, match="changes from call to call"):
        check_items_are_functions_of_epoch_and_index(flawed)


def test_the_kit_finds_a_reader_that_hides_broken_items(transients: Subject):
    read = transients.domain.read
    flawed = planted(transients, read=lambda paths, options: read(paths, replace(options, report=lambda error: None)))
    with pytest.raises(AssertionError, match="no problem was reported"):
        check_reader_skips_the_broken_item(flawed)


def test_the_kit_finds_a_recipe_of_another_name(transients: Subject):
    recipes = {**transients.domain.recipes, "other": transients.domain.recipes["simulated"]}
    with pytest.raises(AssertionError, match="calls itself transients/simulated"):
        check_recipes_are_complete(planted(transients, recipes=recipes))


def test_the_kit_finds_a_model_that_reads_the_padding(transients: Subject):
    build = transients.domain.build

    def leaky(config: object, trunk: object = None) -> object:
        model = build(config, trunk)
        predict = model.predict

        def wrong(batch: dict[str, object], options: object) -> Iterator[dict[str, object]]:
            for out in predict(batch, options):
                yield {**out, "probability": out["probability"] + batch["flux"].shape[1] * 1e-3}

        model.predict = wrong
        return model

    with pytest.raises(AssertionError, match="depends on its company"):
        check_company_changes_no_prediction(planted(transients, build=leaky))


def test_the_network_is_out_of_reach():
    import socket

    with no_network(), socket.socket() as plug, pytest.raises(AssertionError, match="no use of the network"):
        plug.connect(("127.0.0.1", 9))
