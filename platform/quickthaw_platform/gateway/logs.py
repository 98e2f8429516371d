"""What a function printed, and what the platform has to say about it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

from flask import Response, request
from pydantic import BaseModel, Field
from redis import Redis

from quickthaw.resources import LogLine, Scope
from quickthaw_platform.errors import InvalidRequest, Unavailable
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.disconnect import hung_up
from quickthaw_platform.gateway.following import POLL_SECONDS
from quickthaw_platform.gateway.resource import FunctionPath, Page, page, resource
from quickthaw_platform.gateway.services import Services, services
from quickthaw_platform.gateway.turns import in_turns
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.tails import Place, fields, position_of
from quickthaw_platform.redis_keys import RedisKey

_POSITION = re.compile(r"^\d{1,20}-\d{1,20}$")
_BEGINNING = "0-0"

api = resource(
    "logs",
    __name__,
    "Log lines of functions",
    read=Scope.DEPLOY,
    write=Scope.DEPLOY,
    prefix="/v1/functions/<name>/logs",
)


class LogQuery(BaseModel):
    """Which lines."""

    after: str | None = Field(None, description="id of the last line already seen")
    limit: int = Field(1000, ge=1, le=10_000, description="most lines: the latest, or with `after` the next")
    follow: bool = Field(False, description="stream the lines as server-sent events, without end")


@api.get("", responses={200: Page[LogLine]})
def read_logs(path: FunctionPath, query: LogQuery) -> Response:
    """Read a function's log lines, oldest first; with `follow=true` go on as server-sent events.

    A stream's `id:` is that of the line, for `Last-Event-ID`; without one it begins with the latest lines.
    """
    found = services()
    found.registry.get(path.name)
    after = _position(request.headers.get("Last-Event-ID") or query.after)
    if query.follow:
        return Response(_follow(found, path.name, after, query.limit, request.environ), headers=sse.HEADERS)
    return page(_read(found.redis, path.name, after, query.limit))


def _position(sent: str | None) -> str | None:
    if sent is not None and not (_POSITION.match(sent) and max(position_of(sent)) < 1 << 64):
        raise InvalidRequest(f"{sent[:60]!r} is not the id of a log line", param="after")
    return sent


def _read(redis: Redis, function: str, after: str | None, limit: int) -> list[LogLine]:
    key = _key(function)
    with outage_is_unavailable():
        if after is None:
            entries = cast("Any", redis).xrevrange(key, count=limit)[::-1]
        else:
            entries = cast("Any", redis).xrange(key, min=f"({after}", count=limit)
    return [_line(identity, fields) for identity, fields in in_turns(entries)]


def _follow(found: Services, function: str, after: str | None, limit: int, environ: dict[str, Any]) -> Iterator[bytes]:
    """Yield lines for as long as the client listens; comments keep the connection alive."""
    lines = _read(found.redis, function, after, limit)
    spoke = time.monotonic()
    yield b": ok\n\n"
    with closing(Place(found.tails, _key(function))) as place:
        while not hung_up(environ):
            if lines:
                yield b"".join(sse.message(line.model_dump(mode="json"), position=line.id) for line in in_turns(lines))
                after, spoke = lines[-1].id, time.monotonic()
            elif time.monotonic() - spoke >= found.settings.sse_keepalive:
                yield b": still here\n\n"
                spoke = time.monotonic()
            lines = _wait(place, after or _BEGINNING)


def _wait(place: Place, after: str) -> list[LogLine]:
    """Return the lines that come within POLL_SECONDS; none in an outage, which a listener may outlive."""
    try:
        with outage_is_unavailable():
            entries = place.take(after, POLL_SECONDS)
    except Unavailable:
        time.sleep(POLL_SECONDS)
        return []
    return [_line(identity, fields(flat)) for identity, flat in in_turns(entries)]


def _line(identity: str, fields: dict[str, str]) -> LogLine:
    known = {name: value for name, value in fields.items() if name in LogLine.model_fields}
    return LogLine.model_validate({**known, "id": identity})


def _key(function: str) -> str:
    return RedisKey.LOGS.of(function)
