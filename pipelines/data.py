"""The verbs of `armillary data`: what a card says, whether its files are right, and how they come here."""

import io
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from armillary.core.cards import Card, CardFile, CardSplit, ItemArray, how_to_get, locate, verify
from armillary.core.cards import fetch as fetch_card
from armillary.core.cards.download import Report
from armillary.core.domain import Size
from armillary.core.errors import CardError
from armillary.core.paths import data_root, download_root
from armillary.pipelines.plugins import find_card, load_domain

_WIDTH = 110
_LINE_SECONDS = 5.0
_SHOWN = 20  # rows of a table of files; of a longer one, those that are not right


def show(card_id: str) -> str:
    """What the card says, for reading."""
    card = find_card(card_id)
    sections = [
        _table(["", card.title], _facts(card)),
        _table(["file", "bytes", "what"], [_file_row(file) for file in card.files]) if card.files else "",
        _table(["array", "axes", "type", "unit", "sampling"], [_array_row(*pair) for pair in card.item.items()]),
        _table(["split", "items", "made by"], [_split_row(*pair) for pair in card.splits.items()]),
        "\n".join(f"! {problem}" for problem in card.known_problems),
    ]
    return "\n\n".join(section for section in sections if section)


def check(card_id: str, root: Path | None = None) -> tuple[str, bool]:
    """A table of the card's files as found in `root`, and whether all are right."""
    card = find_card(card_id)
    found = verify(card, locate(card, data_root(root)))
    if not found.checks:
        return f"{card.id}: {found.folder}\nmade here ({card.generator}); the card lists no files to compare", True
    rows = [
        [check.path, check.status, *((check.expected, check.got) if check in found.problems else ("", ""))]
        for check in found.checks
    ]
    if len(rows) > _SHOWN:
        bad = [row for row, check in zip(rows, found.checks, strict=True) if check in found.problems]
        rest = len(rows) - len(bad[:_SHOWN])
        rows = [*bad[:_SHOWN], [f"and {rest} more", "", "", ""]]
    wrong = len(found.problems)
    verdict = (
        "all files are right" if found.ok else f"{wrong} of {len(found.checks)} files are not right. {how_to_get(card)}"
    )
    return f"{card.id}: {found.folder}\n{_table(['file', 'status', 'expected', 'got'], rows)}\n{verdict}", found.ok


def fetch(card_id: str, root: Path | None = None) -> str:
    """Brings the card's files into `root`, by default into the cache; tells where they are."""
    card = find_card(card_id)
    if root is None and card.files and (present := _whole(card)) is not None:
        return f"{card.id}: already in {present}"
    with _progress() as report:
        return f"{card.id}: {fetch_card(card, root, report)}"


def simulate(card_id: str, root: Path | None = None, seed: int = 0, size: Size = "default") -> str:
    """Makes a simulated dataset in `root`, by default in the cache; tells where it is.

    Raises:
        CardError: the twin of a real dataset without a root, for a run would take it for the real one.
    """
    card = find_card(card_id)
    if root is None and card.generator is None and size == "twin":
        raise CardError(
            f"{card.id}: its twin is fabricated, and in the cache a run would take it for the real data.\n"
            "  Give a folder for it: --data-root DIR"
        )
    folder = load_domain(card.domain).simulate(card.id, root or download_root(), seed, size)
    return f"{card.id}: {folder}  (SIMULATED DATA, seed {seed}, size {size})"


def _whole(card: Card) -> Path | None:
    try:
        found = verify(card, locate(card, data_root()))
    except CardError:
        return None
    return found.folder if found.ok else None


@contextmanager
def _progress() -> Generator[Report]:
    """A bar on a terminal, a plain line every few seconds elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        tasks = {}

        def report(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total)
            progress.update(tasks[file], completed=done)

        yield report


def _plain_lines() -> Report:
    last = time.monotonic()

    def report(file: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            print(f"{file}: {done}/{total} bytes", file=sys.stderr, flush=True)

    return report


def _facts(card: Card) -> Iterator[list[str]]:
    yield ["card", f"{card.id}, version {card.version}, domain {card.domain}"]
    yield ["kind", f"SIMULATED{f': {card.generator}' if card.generator else ''}" if card.simulated else "observed"]
    yield ["licence", str(card.licence)]
    for citation in card.citation:
        yield ["cite", citation]
    if card.homepage:
        yield ["homepage", card.homepage]
    yield ["format", card.format]
    yield ["group", f"{card.group_key} (never straddles splits)"]
    for name, value in {**card.statistics, **card.about}.items():
        yield [name, _value(value)]
    yield ["get it", how_to_get(card)]


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _file_row(file: CardFile) -> list[str]:
    return [file.path, "?" if file.bytes is None else f"{file.bytes:,}", file.about]


def _array_row(name: str, array: ItemArray) -> list[str]:
    sampling = [f"{axis} every {step}" for axis, step in array.spacing.items()] + ([array.rate] if array.rate else [])
    told = ", ".join(sampling) or ("irregular" if array.axes else "")
    return [name, " ".join(array.axes) or "one value", array.dtype, array.unit, told]


def _split_row(name: str, split: CardSplit) -> list[str]:
    made_by = " ".join(part for part in (split.file, split.rule) if part)
    return [name, "?" if split.items is None else f"{split.items:,}", made_by]


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    """A table as plain text; Text keeps square brackets of foreign words from being read as markup."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    stream = io.StringIO()
    Console(file=stream, width=_WIDTH).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n")
