"""Brings the files of a card into a data root, each checked by its digest before it takes its name."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from armillary.core.cards.download import Report, ResumingDownloader
from armillary.core.cards.schema import Card, CardFile
from armillary.core.cards.verify import check_file, how_to_get
from armillary.core.errors import CardError
from armillary.core.files import replace_atomically
from armillary.core.paths import dataset_folder, download_root


def _silent(file: str, done: int, total: int) -> None:
    """Reports nothing."""


def fetch(card: Card, root: Path | None = None, report: Report = _silent, *, pause_s: float = 1.0) -> Path:
    """The dataset's folder below `root` (default: below the cache), after fetching what is not yet there.

    A download that breaks off is continued by the next call. `pause_s` [s] is the wait between tries.

    Raises:
        CardError: simulated data, no connection, a wrong digest, no room, no permission to write, or files that
            only a person can get; the message names the step to take.
    """
    if card.generator is not None:
        raise CardError(f"{card.id}: this dataset is simulated, not fetched.\n  {how_to_get(card)}")
    folder = dataset_folder(root if root is not None else download_root(), card.domain, card.id)
    absent = [file for file in card.files if check_file(file, folder / file.path).status not in ("ok", "present")]
    unfinished = folder.with_name(f".{card.id}.partial")
    for file in absent:
        if file.url is not None:
            _fetch_file(card, file, folder, unfinished, partial(report, file.path), pause_s)
    shutil.rmtree(unfinished, ignore_errors=True)
    if by_hand := [file.path for file in absent if file.url is None]:
        raise CardError(f"{card.id}: no address is known for {', '.join(by_hand)}.\n  {how_to_get(card)}")
    return folder


def _fetch_file(
    card: Card, file: CardFile, folder: Path, unfinished: Path, report: Callable[[int, int], None], pause_s: float
) -> None:
    target = folder / file.path
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        whole = _download(file, unfinished, report, pause_s)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(whole, target)
    except CardError as error:
        raise CardError(f"{card.id}: {file.path}: {error}\n  {_by_hand(card, file, target)}") from error
    except OSError as error:
        raise CardError(
            f"{card.id}: {file.path}: cannot write below {folder.parent} ({error.strerror}).\n"
            "  Set ARMILLARY_CACHE to a folder that you may write to."
        ) from error


def _download(file: CardFile, unfinished: Path, report: Callable[[int, int], None], pause_s: float) -> Path:
    import pooch  # here: it would slow the start of every command

    pooch.get_logger().setLevel("WARNING")
    # The schema gives every file that has a url its size and digest; the name is safe against a changed card.
    assert file.bytes is not None
    total, digest = file.bytes, file.sha256
    downloader = ResumingDownloader(
        unfinished / f"{digest}.part", total, lambda done: report(done, total), pause_s=pause_s
    )
    try:
        retrieve = cast(Callable[..., str], pooch.retrieve)
        return Path(retrieve(file.url, digest, digest, unfinished, downloader=downloader))
    except ValueError as error:
        raise CardError(
            f"wrong content from {file.url}; it is deleted. {str(error).partition(' Deleted')[0]}\n"
            "  The file has changed at its source or was damaged on the way: try again, then compare with its homepage."
        ) from error


def _by_hand(card: Card, file: CardFile, target: Path) -> str:
    steps = card.manual or f"download {file.url}"
    return f"By hand: {steps}\n  Put the file at {target}; 'armillary data check {card.id}' tells whether it is right."
