"""No network: a connection to anywhere but this machine's own sockets is an error."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_network() -> Generator[None]:
    """Inside the block every attempt to open an internet connection raises AssertionError."""
    original = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError(f"tried to connect to {address}; expected no use of the network")
        original(self, address)

    socket.socket.connect = refuse
    try:
        yield
    finally:
        socket.socket.connect = original
