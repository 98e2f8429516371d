"""Servers that stand in for S3 in tests of its faults: run in a thread, and put where the platform looks for S3."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

import pytest

from quickthaw_platform.checkpoints.remote import ranges


class StandIn(Protocol):
    """A server whose answers may wait until it is released."""

    released: threading.Event

    def serve_forever(self, poll_interval: float) -> None:
        """Answer until it is shut down."""

    def shutdown(self) -> None:
        """End `serve_forever`."""


@contextlib.contextmanager
def running(server: StandIn) -> Iterator[None]:
    """Answer requests in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.released.set()
        server.shutdown()
        thread.join()


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Have stores of this process ask the server at `url`, and hardly wait before they ask again."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranges, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(ranges, "LONGEST_PAUSE_SECONDS", 0.002)
