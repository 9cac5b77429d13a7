"""The domain's cards, and the real data beside them."""

from pathlib import Path

import pytest

from armillary.core.cards import list_cards, verify

CARDS = list_cards("armillary.data_cards.speech")
HERE = ("fsdd_subset", "libri2mix_mini", "librispeech_mini", "speech_commands_noise")


def test_every_dataset_of_the_domain_has_a_card() -> None:
    assert set(CARDS) == {*HERE, "librimix", "simulated_voices", "wham", "whamr", "wsj0_mix"}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_splits_and_unit_of_its_signals(name: str) -> None:
    card = CARDS[name]
    assert card.domain == "speech"
    assert {"train", "validation", "test"} <= set(card.splits)
    signals = [array for array in card.item.values() if "sample" in array.axes]
    assert signals
    assert all(array.unit == "1" and array.rate and array.rate.endswith("Hz") for array in signals)


@pytest.mark.real
@pytest.mark.parametrize("name", HERE)
def test_sizes_and_digests_are_those_of_the_real_files(name: str, data_root: Path) -> None:
    folder = data_root / "speech" / name
    if not folder.is_dir():
        pytest.skip(f"no {name} below ARMILLARY_DATA")
    assert not verify(CARDS[name], folder).problems
    assert all(file.sha256 for file in CARDS[name].files)
