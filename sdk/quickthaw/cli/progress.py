"""The line on standard error that says what an invocation waits for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from quickthaw.types import Event, EventType


def line(status: dict[str, Any]) -> str:
    """Write a status event for people: what happens, the place in the queue, how long it still takes."""
    position, estimate = status.get("position"), status.get("estimate_seconds")
    state = str(status.get("state", "waiting"))
    words = [f"{state} on {status['node']}" if status.get("node") else state]
    if position is not None:
        words.append(f"position {position}")
    if status.get("reason"):
        words.append(str(status["reason"]))
    if estimate is not None:
        words.append(f"about {estimate:.1f} s")
    return ", ".join(words)


def shown(events: Iterable[Event], console: Console | None = None) -> Iterator[Event]:
    """Pass the events on; until the first output, show on standard error what the call waits for.

    A terminal shows it in one line that changes; elsewhere each new reason is a line.
    """
    console = console or Console(file=sys.stderr)
    events = iter(events)
    if not console.is_terminal:
        yield from _told(events, console)
        return
    with console.status("calling") as status:
        for event in events:
            if event.type is not EventType.STATUS:
                status.stop()
            else:
                status.update(Text(line(event.data)))
            yield event


def _told(events: Iterable[Event], console: Console) -> Iterator[Event]:
    told = None
    for event in events:
        reason = event.data.get("reason") if event.type is EventType.STATUS else None
        if reason and reason != told:
            console.print(Text(line(event.data)), soft_wrap=True)
            told = reason
        yield event
