"""Functions' log lines on their way to Redis."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from redis import Redis

from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey

MAX_WAITING_LINES = 10_000
"""Lines kept while Redis is out; the oldest go first."""

LOG_SECONDS = 7 * 86_400
"""How long a function's log is kept after its last line."""

_BATCH_LINES = 500


def log_key(function: str) -> str:
    """Return the key of a function's log stream."""
    return RedisKey.LOGS.of(function)


class LogLines:
    """A bounded buffer; many lines leave with one round trip. Not for several threads at once, but for `add`."""

    def __init__(self, redis: Redis, max_lines: int) -> None:
        """`max_lines` are kept for each function in Redis, roughly."""
        self._redis = redis
        self._max_lines = max_lines
        self._waiting: deque[tuple[str, Mapping[str, str]]] = deque(maxlen=MAX_WAITING_LINES)

    @property
    def waiting(self) -> bool:
        """Whether there are lines to write."""
        return bool(self._waiting)

    def add(self, function: str, line: Mapping[str, str]) -> None:
        """Keep a line: `t` (Unix seconds), `line`, `stream`, and where known `invocation`, `instance`, `node`."""
        self._waiting.append((function, line))

    def flush(self) -> None:
        """Write some of what is waiting; raises Unavailable, and a line may then be there twice after another try."""
        batch = [self._waiting[i] for i in range(min(_BATCH_LINES, len(self._waiting)))]
        if not batch:
            return
        with outage_is_unavailable(), self._redis.pipeline(transaction=False) as pipe:
            for function, line in batch:
                pipe.xadd(log_key(function), cast("Any", line), maxlen=self._max_lines, approximate=True)
            for function in dict.fromkeys(function for function, _ in batch):
                pipe.expire(log_key(function), LOG_SECONDS)
            pipe.execute()
        for _ in range(min(len(batch), len(self._waiting))):
            self._waiting.popleft()
