"""How many requests of each API key are open: streams, calls that wait, bodies that still come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from flask import Flask, Response, g

from quickthaw_platform.errors import RateLimited

RETRY_AFTER_SECONDS = 1.0


class OpenRequests:
    """Counts for one process."""

    def __init__(self, most: int) -> None:
        """`most` of each key at a time."""
        self._most = most
        self._open: Counter[str] = Counter()

    def begin(self, key_id: str) -> Callable[[], None]:
        """Count a request and return what ends it, once; RateLimited where the key has as many as it may."""
        if self._open[key_id] >= self._most:
            raise RateLimited(
                f"the API key has {self._most:,} requests open at this gateway, streams among them, as many as it may "
                "(setting max_open_requests); end some, or wait for them",
                code="too_many_open_requests",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self._open[key_id] += 1
        return partial(self._end, key_id)

    def count(self, key_id: str) -> int:
        """Return how many a key has open."""
        return self._open[key_id]

    def _end(self, key_id: str) -> None:
        self._open[key_id] -= 1
        if not self._open[key_id]:
            del self._open[key_id]


def count(counter: OpenRequests, key_id: str) -> None:
    """Count the current request until its answer has been sent; RateLimited where its key has too many."""
    g.end_request = counter.begin(key_id)


def register(app: Flask) -> None:
    """Have requests that are counted counted no more when their answer has been sent, or when none was made."""

    @app.after_request
    def when_sent(response: Response) -> Response:
        end = g.pop("end_request", None)
        if end is not None:
            response.call_on_close(end)
        return response

    @app.teardown_request
    def without_an_answer(_: BaseException | None) -> None:
        end = g.pop("end_request", None)
        if end is not None:
            end()
