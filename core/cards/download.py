"""One download that survives a dropped connection and a killed process."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from armillary.core.errors import CardError

Report = Callable[[str, int, int], None]  # file, bytes so far, bytes in all
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_TIMEOUT_S = 30
_CHUNK_BYTES = 16384
_RANGE_REFUSED = 416
_WORTH_ANOTHER_TRY = (408, 425, 429, _RANGE_REFUSED)


class ResumingDownloader:
    """A pooch downloader that appends to `part` from where it ends, and moves it in place when it is whole.

    It gives up after `attempts` tries in a row that bring nothing, waiting `pause_s`, 2 `pause_s`, ... [s]
    between them; `part` stays for the next call. It takes no more than `num_bytes` from any server.
    """

    def __init__(
        self, part: Path, num_bytes: int, report: Callable[[int], None], *, attempts: int = 4, pause_s: float = 1.0
    ) -> None:
        self.part, self.num_bytes, self.report = part, num_bytes, report
        self.attempts, self.pause_s = attempts, pause_s

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        best, failures = self._size(), 0
        while self._size() != self.num_bytes:
            reason = self._go_on(url)
            # Against the best so far, not the last: a file that starts over again and again is no progress.
            failures = 0 if self._size() > best else failures + 1
            best = max(best, self._size())
            if failures >= self.attempts:
                raise CardError(
                    f"{url}: {reason}; {self._size()} of {self.num_bytes} bytes are here.\n"
                    "  The same command goes on from there."
                )
            time.sleep(self.pause_s * failures)
        os.replace(self.part, output_file)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _go_on(self, url: str) -> str:
        """One request for the rest of the file; returns why it ended early."""
        try:
            with self.part.open("ab") as stream:
                _request(url, _Counted(stream, self.num_bytes, self.report))
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise CardError(
                    f"{self.part}: {error.strerror} after {self._size()} bytes; the file has {self.num_bytes}.\n"
                    "  Make room there, or set ARMILLARY_CACHE to a folder on another disk."
                ) from error
            return self._judge(url, error)
        return "the server's file is shorter than the card says"

    def _judge(self, url: str, error: OSError) -> str:
        """The reason in a few words, for what may pass; an error for what will not."""
        response = getattr(error, "response", None)
        if response is None:
            return f"the connection failed or dropped ({type(error).__name__})"
        status: int = response.status_code
        if status == _RANGE_REFUSED:
            # What is here does not belong to the server's file: begin anew.
            self.part.unlink()
        if 400 <= status < 500 and status not in _WORTH_ANOTHER_TRY:
            raise CardError(f"{url}: the server answers {status} {response.reason}.") from error
        return f"the server answers {status} {response.reason}"


class _Counted:
    """A file that starts over when told so, refuses to grow beyond `limit` bytes, and reports its size."""

    def __init__(self, stream: BinaryIO, limit: int, report: Callable[[int], None]) -> None:
        self.stream, self.limit, self.report = stream, limit, report

    def restart(self) -> None:
        self.stream.truncate(0)

    def tell(self) -> int:
        return self.stream.seek(0, os.SEEK_END)

    def write(self, chunk: bytes) -> None:
        if self.tell() + len(chunk) > self.limit:
            self.restart()
            raise CardError(f"the server sends more than the {self.limit} bytes that the card says; nothing is kept.")
        self.stream.write(chunk)
        self.report(self.tell())

    def flush(self) -> None:
        self.stream.flush()


def _request(url: str, output: _Counted) -> None:
    """GET what follows the bytes in `output`; a server without ranges sends all, and the file starts over."""
    import pooch  # here: it would slow the start of every command

    start = output.tell()
    # A compressed answer would make byte positions meaningless.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})

    def on_response(response: Any, *_: object, **__: object) -> None:
        responses.append(response)
        if response.status_code == 200:
            output.restart()

    responses: list[Any] = []
    hooks = {"response": on_response}
    downloader = pooch.HTTPDownloader(chunk_size=_CHUNK_BYTES, headers=headers, timeout=_TIMEOUT_S, hooks=hooks)
    try:
        downloader(url, output, None)
    finally:
        for response in responses:
            response.close()
