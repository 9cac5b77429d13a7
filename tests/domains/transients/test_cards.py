"""The domain's cards, and the real data beside them."""

import hashlib
from pathlib import Path

import pytest

from armillary.core.cards.load import list_cards

CARDS = list_cards("armillary.data_cards.transients")


def test_every_dataset_of_the_domain_has_a_card() -> None:
    assert set(CARDS) == {"spcc", "ztf_bts", "plasticc", "plasticc_full", "simulated_lsst", "simulated_ztf"}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_group_splits_and_unit_of_flux(name: str) -> None:
    card = CARDS[name]
    assert card.domain == "transients"
    assert card.group_key == "object"
    assert card.item["flux"].unit == "FLUXCAL"
    assert "test" in card.splits


@pytest.mark.real
@pytest.mark.parametrize("name", ["spcc", "ztf_bts", "plasticc"])
def test_sizes_and_digests_are_those_of_the_real_files(name: str, data_root: Path) -> None:
    folder = data_root / "transients" / name
    if not folder.is_dir():
        pytest.skip(f"no {name} below ARMILLARY_DATA")
    for file in CARDS[name].files:
        content = (folder / file.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256), file.path
