"""Finds domains through entry points. A broken plugin is named with its error and spoils no other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from armillary.core.cards import Card, list_cards
from armillary.core.domain import Domain
from armillary.core.errors import CardError, PluginError, near_miss

GROUP = "armillary.domains"


@dataclass(frozen=True)
class _Found:
    name: str
    domain: Domain | None
    error: Exception | None


def load_domains() -> dict[str, Domain]:
    """Name -> domain of every installed plugin that loads, sorted by name."""
    return {found.name: found.domain for found in _scan() if found.domain is not None}


def broken_domains() -> dict[str, Exception]:
    """Name -> error of every installed plugin that does not load."""
    return {found.name: found.error for found in _scan() if found.error is not None}


def load_domain(name: str) -> Domain:
    """The domain of that name.

    Raises:
        PluginError: no plugin has the name (with the near miss), or it cannot be loaded (with its error).
    """
    found = list(_scan())
    domain = next((entry.domain for entry in found if entry.name == name and entry.domain is not None), None)
    if domain is not None:
        return domain
    error = next((entry.error for entry in found if entry.name == name), None)
    if error is not None:
        raise PluginError(f"the domain '{name}' is installed but does not load: {_told(error)}") from error
    raise PluginError(f"no domain '{name}' is installed{near_miss(name, load_domains())}")


def all_cards() -> dict[str, Card]:
    """Id -> card of every domain whose cards are well formed, sorted by id; see `broken_cards` for the others."""
    cards, _ = _scan_cards()
    return cards


def broken_cards() -> dict[str, CardError]:
    """Name of a domain -> what is wrong with its cards."""
    _, errors = _scan_cards()
    return errors


def find_card(card_id: str) -> Card:
    """The card of that id.

    Raises:
        CardError: no domain has it, with the near miss and with what is wrong with cards that could not be read.
    """
    cards, errors = _scan_cards()
    if card_id in cards:
        return cards[card_id]
    broken = "".join(f"\n  The cards of {name} could not be read: {error}" for name, error in errors.items())
    raise CardError(f"no card '{card_id}'{near_miss(card_id, cards)}{broken}")


def _scan_cards() -> tuple[dict[str, Card], dict[str, CardError]]:
    cards: dict[str, Card] = {}
    errors: dict[str, CardError] = {}
    for name, domain in load_domains().items():
        try:
            cards |= _own_cards(domain, cards)
        except CardError as error:
            errors[name] = error
    return dict(sorted(cards.items())), errors


def _own_cards(domain: Domain, taken: Mapping[str, Card]) -> dict[str, Card]:
    try:
        own = list_cards(domain.cards)
    except ImportError as error:
        raise CardError(f"{domain.name}: the package of its cards, {domain.cards}, is not there ({error}).") from error
    for card in own.values():
        if card.domain != domain.name:
            raise CardError(f"{domain.cards}: the card '{card.id}' says domain {card.domain}; expected {domain.name}.")
        if card.id in taken:
            raise CardError(f"{domain.cards}: the card '{card.id}' is also {taken[card.id].domain}'s; rename one.")
    return own


def _scan() -> Iterator[_Found]:
    """Every entry point once; two distributions that claim one name make it a broken one."""
    entries: dict[str, set[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        entries.setdefault(entry.name, set()).add(entry)
    for name, claims in sorted(entries.items()):
        if len(claims) == 1:
            yield _load(claims.pop())
        else:
            values = ", ".join(sorted(entry.value for entry in claims))
            yield _Found(name, None, PluginError(f"'{name}' is claimed by several packages ({values}). Keep one."))


def _load(entry: EntryPoint) -> _Found:
    # A plugin is foreign code: whatever it raises at import concerns it alone.
    try:
        domain = entry.load()
    except Exception as error:
        return _Found(entry.name, None, error)
    if not isinstance(domain, Domain):
        return _Found(entry.name, None, PluginError(f"{entry.value} is a {type(domain).__name__}; expected a Domain."))
    if domain.name != entry.name:
        return _Found(
            entry.name, None, PluginError(f"{entry.value} calls itself '{domain.name}'; expected '{entry.name}'.")
        )
    return _Found(entry.name, domain, None)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
