"""The domain's cards, and the real data beside them."""

from pathlib import Path

import pytest

from armillary.core.cards import list_cards, verify
from armillary.domains.medical.simulate import simulate

CARDS = list_cards("armillary.data_cards.medical")
AT_HAND = ("chase_db1", "covid_cxr_structures", "hannover_covid_cxr", "nih_cxr14_mini", "pneumoniamnist")


def test_every_card_can_be_simulated_and_every_simulation_has_a_card() -> None:
    assert set(CARDS) == set(simulate.table)


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_group_splits_and_that_it_is_not_for_diagnosis(name: str) -> None:
    card = CARDS[name]
    assert card.domain == "medical"
    assert card.group_key in ("patient", "child", "image")
    assert set(card.splits) == {"train", "validation", "test"}
    assert card.about["not_for_diagnosis"] is True
    assert "image" in card.item


@pytest.mark.real
@pytest.mark.parametrize("name", AT_HAND)
def test_sizes_and_digests_are_those_of_the_real_files(name: str, data_root: Path) -> None:
    folder = data_root / "medical" / name
    if not folder.is_dir():
        pytest.skip(f"no {name} below ARMILLARY_DATA")
    found = verify(CARDS[name], folder)
    assert found.ok, found.problems[:3]
    listed = {file.path for file in CARDS[name].files} | {"README.md"}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == listed
