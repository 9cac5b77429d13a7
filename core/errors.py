"""The platform's small family of errors. Each message says what was wrong, expected, got and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class ArmillaryError(Exception):
    """Base of the errors a user can act on; the command line prints them without a traceback."""


class ConfigError(ArmillaryError):
    """A setting that is unknown, misplaced or out of range."""


class CardError(ArmillaryError):
    """A data card that is malformed, or a dataset that does not match its card."""


class PluginError(ArmillaryError):
    """A domain that cannot be loaded or breaks the plugin contract."""


class MissingExtraError(ArmillaryError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed.\n"
            f"  Install it with: pip install 'armillary[{extra}]'"
        )


class RunError(ArmillaryError):
    """A run folder that is missing, incomplete or damaged."""


class DataError(ArmillaryError):
    """One file, or one item of it, that cannot be used; the others go on.

    `problem` says what was expected and got, `advice` what to do; the place is card, file, item and row,
    as far as they are known. Rows count from 1 as an editor shows them, the header being row 1.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | Path | None = None,
        item: str | None = None,
        row: int | None = None,
        card: str | None = None,
        advice: str = "",
    ) -> None:
        self.problem, self.path, self.item, self.row = problem, path, item, row
        self.card, self.advice = card, advice
        super().__init__(self._message())

    def _message(self) -> str:
        place = str(self.path) if self.path is not None else ""
        if self.row is not None:
            place += f":{self.row}"
        if self.card:
            place = f"{self.card}: {place}" if place else self.card
        item = f"[{self.item}]" if self.item else ""
        head = f"{place}{item}: " if place or item else ""
        return f"{head}{self.problem}" + (f"\n  {self.advice}" if self.advice else "")

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders in loader workers; keyword-only fields need help with that.
        return (_rebuild, (self.problem, self.path, self.item, self.row, self.card, self.advice))


def _rebuild(
    problem: str, path: str | Path | None, item: str | None, row: int | None, card: str | None, advice: str
) -> DataError:
    return DataError(problem, path=path, item=item, row=row, card=card, advice=advice)


def near_miss(name: str, allowed: Iterable[str]) -> str:
    """A hint for an unknown name: the closest allowed one, then all of them."""
    names = sorted(allowed)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"{hint}  (it has: {', '.join(names)})"
