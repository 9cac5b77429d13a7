"""Data cards: read, validate, locate, fetch, verify."""

from armillary.core.cards.fetch import fetch
from armillary.core.cards.load import list_cards, load_card, parse_card
from armillary.core.cards.schema import Card, CardFile, CardSplit, ItemArray, Licence
from armillary.core.cards.verify import FileCheck, Verification, how_to_get, locate, sha256, verify

__all__ = [
    "Card",
    "CardFile",
    "CardSplit",
    "FileCheck",
    "ItemArray",
    "Licence",
    "Verification",
    "fetch",
    "how_to_get",
    "list_cards",
    "load_card",
    "locate",
    "parse_card",
    "sha256",
    "verify",
]
