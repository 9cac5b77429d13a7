"""Progress: a bar on a terminal, one plain line every few seconds in a log file."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_LINE_SECONDS = 10.0


class ProgressBar:
    """Counts steps towards a total. Quiet shows nothing."""

    def __init__(self, title: str, total: int, done: int = 0, *, quiet: bool = False) -> None:
        self._title, self._total, self._done = title, total, done
        self._quiet = quiet
        self._console = Console(stderr=True)
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._start = self._last_line = time.monotonic()
        self._first = done

    def __enter__(self) -> "ProgressBar":
        if not self._quiet and self._console.is_terminal:
            self._live = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"), console=self._console, transient=True,
            )  # fmt: skip
            self._task = self._live.add_task(self._title, total=self._total, completed=self._done, note="")
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def advance(self, note: str = "", steps: int = 1) -> None:
        """Some steps further; the note is shown beside the bar."""
        self._done += steps
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=self._done, note=note)
        elif not self._quiet and time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self.say(f"{self._title}: {self._done}/{self._total}  {note}  {self._remaining()}")

    def say(self, text: str) -> None:
        """One plain line that stays."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _remaining(self) -> str:
        pace = (time.monotonic() - self._start) / max(self._done - self._first, 1)
        return f"about {pace * (self._total - self._done):.0f} s left"
