"""Where the data of a run lie; simulated ones are made on the spot."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from armillary.core.cards import Card, list_cards, locate
from armillary.core.config import RunConfig
from armillary.core.domain import Domain
from armillary.core.errors import CardError, near_miss
from armillary.core.files import replace_atomically
from armillary.core.paths import data_root, dataset_folder, download_root


def domain_cards(domain: Domain, config: RunConfig) -> list[Card]:
    """The cards that a run reads.

    Raises:
        CardError: the configuration names a card that the domain does not have.
    """
    cards = list_cards(domain.cards)
    names = domain.uses(config)
    for name in names:
        if name not in cards:
            raise CardError(f"{domain.name} has no data card '{name}'{near_miss(name, cards)}")
    return [cards[name] for name in names]


def dataset_folders(domain: Domain, config: RunConfig, root: Path | None) -> Mapping[str, Path]:
    """Card id -> folder of its data; data of a simulated card that are missing are simulated into the cache.

    Raises:
        CardError: data are missing; the message says how to get them.
    """
    return {card.id: _folder(domain, card, root) for card in domain_cards(domain, config)}


def _folder(domain: Domain, card: Card, root: Path | None) -> Path:
    try:
        return locate(card, data_root(root))
    except CardError:
        if card.generator is None:
            raise
        return _simulated(domain, card, download_root())


def _simulated(domain: Domain, card: Card, root: Path) -> Path:
    """The default simulation of a card below `root`, whole: others may want it at the same time."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{card.id}.") as temporary:
        made = domain.simulate(card.id, Path(temporary), 0, "default")
        folder = dataset_folder(root, card.domain, card.id)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.rename(folder)
        except OSError:
            try:
                # Another process was faster, and perhaps reads it already: what is whole stays where it is.
                return locate(card, root)
            except CardError:
                replace_atomically(made, folder)
        return folder


def card_records(domain: Domain, config: RunConfig) -> list[dict[str, Any]]:
    """What travels with a run about its data: id, version, licence, citation, digest of the card."""
    return [
        {
            "id": card.id,
            "version": card.version,
            "title": card.title,
            "simulated": card.simulated,
            "licence": card.licence.model_dump(mode="json"),
            "licence text": str(card.licence),
            "citation": list(card.citation),
            "sha256": hashlib.sha256(card.model_dump_json().encode()).hexdigest(),
        }
        for card in domain_cards(domain, config)
    ]
