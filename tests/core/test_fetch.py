"""Downloads against a server on this machine: good, wrong, dropped, killed, absent."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from armillary.core.cards import Card, fetch, parse_card
from armillary.core.errors import CardError

CONTENT = bytes(index * index % 251 for index in range(300_000))
CHUNK = 16384  # what is received in part of such a chunk is lost
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """How the server misbehaves, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    status: int | None = None
    drops: list[int] = field(default_factory=list)  # bytes sent before the connection is cut, one a request
    stall_after: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: list[str | None] = field(default_factory=list)
    port: int = 0


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        told = self.behaviour
        asked = self.headers["Range"]
        told.asked.append(asked)
        if told.status is not None:
            self.send_error(told.status)
            return
        start = int(re.sub(r"\D", "", asked)) if asked and told.ranges else 0
        if start and start >= len(told.content):
            self.send_error(416)
            return
        body = told.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body, told)

    def _send(self, body: bytes, told: Behaviour) -> None:
        if told.drops:
            self.wfile.write(body[: told.drops.pop(0)])
            self.close_connection = True
        elif told.stall_after is not None:
            self.wfile.write(body[: told.stall_after])
            self.wfile.flush()
            told.go_on.wait(30)
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test output clean."""


@pytest.fixture
def server() -> Iterator[Behaviour]:
    behaviour = Behaviour()
    handler = type("Handler", (Handler,), {"behaviour": behaviour})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        behaviour.port = running.server_address[1]
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield behaviour
        behaviour.go_on.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "data"


def card_text(port: int, extra: str = "") -> str:
    return f"""\
id: waves
version: 1
title: Waves
domain: acoustics
citation: ["Euler 1749"]
licence: {{spdx: CC0-1.0, commercial: yes, redistribute: yes}}
simulated: no
manual: Ask the string section for the tape.
files:
  - {{path: part/waves.bin, bytes: {len(CONTENT)}, sha256: {DIGEST}, url: "http://127.0.0.1:{port}/waves.bin"}}
{extra}
format: raw
item: {{flux: {{axes: [time], dtype: uint8}}}}
splits: {{train: {{rule: all}}}}
group_key: string
"""


def card_at(port: int, extra: str = "") -> Card:
    return parse_card(card_text(port, extra), "waves.yaml")


def left(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


def test_a_good_download_is_in_place_and_nothing_else_is(server: Behaviour, cache: Path) -> None:
    seen: list[int] = []
    folder = fetch(card_at(server.port), report=lambda file, done, total: seen.append(done))
    assert (folder / "part" / "waves.bin").read_bytes() == CONTENT
    assert left(cache) == ["acoustics/waves/part/waves.bin"]
    assert not list(cache.rglob(".*"))
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)


def test_what_is_there_is_not_asked_for_again(server: Behaviour) -> None:
    fetch(card_at(server.port))
    fetch(card_at(server.port))
    assert len(server.asked) == 1


def test_a_damaged_file_is_fetched_anew(server: Behaviour) -> None:
    target = fetch(card_at(server.port)) / "part" / "waves.bin"
    target.write_bytes(CONTENT[:-1] + b"!")
    fetch(card_at(server.port))
    assert target.read_bytes() == CONTENT


def test_a_root_that_is_asked_for_is_used(server: Behaviour, tmp_path: Path, cache: Path) -> None:
    assert fetch(card_at(server.port), tmp_path / "root") == tmp_path / "root" / "acoustics" / "waves"
    assert not cache.exists()


def test_a_wrong_digest_names_both_and_keeps_nothing(server: Behaviour, cache: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(CardError) as caught:
        fetch(card_at(server.port))
    assert f"expected {DIGEST} but got {hashlib.sha256(server.content).hexdigest()}" in str(caught.value)
    assert "waves: part/waves.bin: wrong content" in str(caught.value)
    assert left(cache) == []


def test_a_dropped_connection_goes_on_where_it_broke(server: Behaviour) -> None:
    server.drops = [6 * CHUNK, 0, 3 * CHUNK + 1]
    folder = fetch(card_at(server.port), pause_s=0.0)
    assert (folder / "part" / "waves.bin").read_bytes() == CONTENT
    assert server.asked == [None, *(f"bytes={count * CHUNK}-" for count in (6, 6, 9))]


def test_a_server_without_ranges_is_read_from_the_start(server: Behaviour) -> None:
    server.drops, server.ranges = [CHUNK], False
    folder = fetch(card_at(server.port), pause_s=0.0)
    assert (folder / "part" / "waves.bin").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={CHUNK}-"]


def test_a_connection_that_never_holds_is_given_up_and_the_next_call_goes_on(server: Behaviour, cache: Path) -> None:
    server.drops = [CHUNK, 0, 0, 0, 0]
    with pytest.raises(CardError) as caught:
        fetch(card_at(server.port), pause_s=0.0)
    assert f"{CHUNK} of {len(CONTENT)} bytes are here" in str(caught.value)
    assert "Ask the string section for the tape." in str(caught.value)
    assert not (cache / "acoustics" / "waves").exists()
    fetch(card_at(server.port))
    assert server.asked[-1] == f"bytes={CHUNK}-"


def test_a_killed_download_goes_on_where_it_stopped(server: Behaviour, cache: Path, tmp_path: Path) -> None:
    server.stall_after = 200_000
    (tmp_path / "waves.yaml").write_text(card_text(server.port))
    code = (
        "import pathlib, sys; from armillary.core.cards import fetch, load_card; "
        "fetch(load_card(pathlib.Path(sys.argv[1])))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "waves.yaml")], env=dict(os.environ))
    deadline = time.monotonic() + 60
    while sum(path.stat().st_size for path in cache.rglob("*.part")) < 100_000:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (part,) = cache.rglob("*.part")
    kept = part.stat().st_size
    server.stall_after = None
    server.go_on.set()
    folder = fetch(card_at(server.port))
    assert (folder / "part" / "waves.bin").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={kept}-"]
    assert left(cache) == ["acoustics/waves/part/waves.bin"]


def test_without_a_network_the_message_names_the_manual_step(cache: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(CardError) as caught:
        fetch(card_at(port), pause_s=0.0)
    assert "the connection failed or dropped" in str(caught.value)
    assert "By hand: Ask the string section for the tape." in str(caught.value)
    assert str(cache / "acoustics" / "waves" / "part" / "waves.bin") in str(caught.value)


def test_a_file_that_the_server_lacks_is_not_tried_again(server: Behaviour) -> None:
    server.status = 404
    with pytest.raises(CardError, match="the server answers 404 Not Found"):
        fetch(card_at(server.port), pause_s=0.0)
    assert len(server.asked) == 1


def test_a_server_in_trouble_is_tried_again(server: Behaviour) -> None:
    server.status = 503
    with pytest.raises(CardError, match="the server answers 503"):
        fetch(card_at(server.port), pause_s=0.0)
    assert len(server.asked) == 4


def test_a_server_that_sends_too_much_is_cut_off(server: Behaviour, cache: Path) -> None:
    server.content = CONTENT + b"more"
    with pytest.raises(CardError, match="sends more than the 300000 bytes"):
        fetch(card_at(server.port), pause_s=0.0)
    assert sum((cache / name).stat().st_size for name in left(cache)) == 0


def test_a_server_whose_file_is_too_short_is_given_up(server: Behaviour) -> None:
    server.content = CONTENT[:1000]
    with pytest.raises(CardError, match=r"shorter than the card says|416"):
        fetch(card_at(server.port), pause_s=0.0)


def test_files_without_an_address_name_the_manual_step_after_the_others_came(server: Behaviour, cache: Path) -> None:
    with pytest.raises(CardError, match=r"(?s)no address is known for notes\.txt.*Ask the string section"):
        fetch(card_at(server.port, "  - {path: notes.txt}"))
    assert left(cache) == ["acoustics/waves/part/waves.bin"]


def test_simulated_data_are_not_fetched(server: Behaviour) -> None:
    text = card_text(server.port).replace("simulated: no", "simulated: yes\ngenerator: plucked at random")
    with pytest.raises(CardError, match="armillary data simulate waves"):
        fetch(parse_card(text, "waves.yaml"))


def test_a_full_disk_is_named(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    import armillary.core.cards.download as download

    def full(self: object, chunk: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download._Counted, "write", full)
    with pytest.raises(CardError, match=r"(?s)No space left on device.*ARMILLARY_CACHE"):
        fetch(card_at(server.port), pause_s=0.0)
    assert len(server.asked) == 1


def test_a_root_that_cannot_be_written_is_named(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where a folder should be")
    with pytest.raises(CardError, match=r"cannot write below .*acoustics"):
        fetch(card_at(server.port), tmp_path / "root")
