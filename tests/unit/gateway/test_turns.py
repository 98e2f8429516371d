"""Long work gives way to others where there are some."""

from __future__ import annotations

import threading

import gevent
import pytest
from gevent._hub_local import get_hub_if_exists

from quickthaw_platform.gateway import turns


def in_two_greenlets() -> list[str]:
    """Return the order in which two greenlets take their items."""
    taken: list[str] = []

    def take(name: str) -> None:
        taken.extend(name for _ in turns.in_turns(range(3)))

    gevent.joinall([gevent.spawn(take, name) for name in "ab"], raise_error=True)
    return taken


def test_work_that_lasts_gives_way_between_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    assert in_two_greenlets() == ["a", "b"] * 3


def test_work_that_is_short_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 60.0)
    turns.begin()
    assert in_two_greenlets() == ["a"] * 3 + ["b"] * 3


def test_a_thread_without_greenlets_is_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub for it would keep its descriptors open for good."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    hubs: list[object] = []

    def work() -> None:
        turns.give_way()
        hubs.append(get_hub_if_exists())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert hubs == [None]
