"""What people see while a call waits."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from quickthaw.cli import progress
from quickthaw.types import Event, EventType


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"state": "queued", "position": 3}, "queued, position 3"),
        (
            {"state": "queued", "reason": "starting an instance", "node": "n1", "estimate_seconds": 0.25},
            "queued on n1, starting an instance, about 0.2 s",
        ),
        ({"state": "running", "node": "n1"}, "running on n1"),
        ({}, "waiting"),
    ],
)
def test_a_status_for_people(status: dict[str, Any], expected: str) -> None:
    assert progress.line(status) == expected


def events() -> list[Event]:
    return [
        Event(seq=0, type=EventType.STATUS, data={"state": "queued", "reason": "[thawing]", "position": 1}),
        Event(seq=1, type=EventType.CHUNK, data={"value": "x"}),
        Event(seq=2, type=EventType.RESULT, data={"value": "x"}),
    ]


def test_on_a_terminal_the_wait_is_shown_until_the_first_output() -> None:
    screen = io.StringIO()
    shown = progress.shown(events(), Console(file=screen, force_terminal=True, width=80))
    assert next(shown).type is EventType.STATUS
    assert next(shown).type is EventType.CHUNK
    before = screen.getvalue()
    assert "queued, position 1, [thawing]" in before
    assert [event.type for event in shown] == [EventType.RESULT]
    assert screen.getvalue() == before


def test_elsewhere_each_reason_to_wait_is_a_line() -> None:
    screen = io.StringIO()
    waits = [
        Event(seq=0, type=EventType.STATUS, data={"state": "queued", "reason": reason, "position": position})
        for reason, position in (
            ("no node has the label zone=b", 2),
            ("no node has the label zone=b", 1),
            ("[thaw]", 1),
        )
    ]
    given = [Event(seq=0, type=EventType.STATUS, data={"state": "queued"}), *waits, *events()[1:]]
    assert list(progress.shown(given, Console(file=screen))) == given
    assert screen.getvalue() == "queued, position 2, no node has the label zone=b\nqueued, position 1, [thaw]\n"
