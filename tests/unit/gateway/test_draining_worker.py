"""A worker that is told to exit waits for requests under way, and for no connection that is merely open."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.workers.ggevent import GeventWorker

from quickthaw_platform.gateway.draining_worker import DrainingWorker


@pytest.fixture
def worker() -> DrainingWorker:
    made: DrainingWorker = DrainingWorker.__new__(DrainingWorker)  # gunicorn makes it with an arbiter around it
    made._idle = set()
    made.alive = True
    return made


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours


def is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def answer(worker: DrainingWorker, connection: socket.socket) -> None:
    worker.handle_request("listener", None, connection, None)


def test_a_connection_that_is_idle_when_the_worker_exits_is_ended(
    worker: DrainingWorker, connection: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GeventWorker, "handle_request", lambda *_: None)
    answer(worker, connection)
    assert not is_ended(connection)
    worker.handle_exit(signal.SIGTERM, None)
    assert is_ended(connection)


def test_one_whose_request_is_under_way_is_ended_when_that_has_been_answered(
    worker: DrainingWorker, connection: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    during: list[bool] = []

    def exits_meanwhile(*_arguments: Any) -> None:
        worker.handle_exit(signal.SIGTERM, None)
        during.append(is_ended(connection))

    monkeypatch.setattr(GeventWorker, "handle_request", exits_meanwhile)
    answer(worker, connection)
    assert during == [False]
    assert is_ended(connection)
