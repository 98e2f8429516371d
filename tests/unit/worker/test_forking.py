from __future__ import annotations

import socket

import pytest

from quickthaw_platform.worker import forking


def test_a_process_of_which_nothing_is_asked_does_once_what_it_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "IDLE_SECONDS", 0.001)
    ours, agents = socket.socketpair()
    done: list[str] = []

    def put_off() -> None:
        done.append("settled")
        agents.close()

    with ours:
        forking.Parent(ours, patience_seconds=0).serve(lambda _frame, _receiver: None, put_off)
    assert done == ["settled"]
