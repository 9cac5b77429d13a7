"""Where readers send what they cannot use."""

from collections.abc import Callable, Sequence
from pathlib import Path

from armillary.core.errors import DataError

Report = Callable[[DataError], None]
_NAMED = 5  # names that a problem of many items gives


def some_of(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def report_together(report: Report, names: Sequence[str], problem: str, path: Path, advice: str) -> None:
    """One report for many items with the same problem, such as "images listed twice"; none for none."""
    if names:
        report(DataError(f"{problem} ({len(names)}): {some_of(names)}", path=path, advice=advice))
