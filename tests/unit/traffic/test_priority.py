"""The generator goes first where it may, and only while it sends."""

from __future__ import annotations

import os

import pytest

from quickthaw_platform.traffic import priority


def now() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_the_priority_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "setpriority", lambda _which, _who, value: asked.append(value))
    with priority.served_first() as raised:
        assert raised
    assert asked == [min(now(), priority.NICE), now()]


def test_where_it_may_not_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refused)
    before = now()
    with priority.served_first() as raised:
        assert not raised
    assert now() == before
