"""What the router decided for each version lately, and on what: so that it can be asked why."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import structlog
from redis import Redis

from quickthaw.resources import DecisionInfo
from quickthaw_platform.contracts import Decision, Refuse, Start, Wait
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.stored_records import readable

MAX_DECISIONS = 200
"""About so many are kept of each version."""

MAX_OPTIONS = 10
"""So many of the options are kept, the best."""

TTL_SECONDS = 3600
"""Without another decision for so long, those of a version are forgotten."""

REPEAT_SECONDS = 1.0
"""To wait for the same reason is noted again after so long."""

_VERSIONS_REMEMBERED = 10_000
_KINDS: dict[type, str] = {Start: "start", Wait: "wait", Refuse: "refuse"}

_log = structlog.get_logger()


def decisions_key(version_id: str) -> str:
    """Return the key of a version's stream."""
    return RedisKey.VERSION_DECISIONS.of(version_id)


class DecisionLog:
    """Any number of processes may write; each leaves out its own repetitions."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waits: dict[str, tuple[str, float]] = {}  # version to its last reason to wait and when it was noted

    def note(self, version_id: str, decision: Decision, instance: str | None = None) -> None:
        """Keep a decision; `instance` is the one that was reserved for a start.

        While Redis is out it is lost, with a line in the log: an explanation must not keep what it explains from
        happening.
        """
        if self._repeats(version_id, decision):
            return
        entry = json.dumps(_fields(decision, instance))
        key = decisions_key(version_id)
        try:
            with outage_is_unavailable(), self._redis.pipeline(transaction=False) as pipe:
                pipe.xadd(key, {"d": entry}, maxlen=MAX_DECISIONS, approximate=True)
                pipe.expire(key, TTL_SECONDS)
                pipe.execute()
        except Unavailable as error:
            _log.warning("a decision is not kept", version=version_id, error=error.message)

    def between(self, version_id: str, begin: float, end: float) -> list[DecisionInfo]:
        """Return a version's decisions of that time (Unix seconds, Redis' clock), oldest first."""
        with outage_is_unavailable():
            found: Any = self._redis.xrange(
                decisions_key(version_id), min=math.floor(begin * 1000), max=math.ceil(end * 1000)
            )
        return [decision for entry_id, fields in found for decision in _parse(entry_id, fields["d"])]

    def _repeats(self, version_id: str, decision: Decision) -> bool:
        if not isinstance(decision, Wait):
            self._waits.pop(version_id, None)
            return False
        now = time.monotonic()
        reason, noted = self._waits.get(version_id, ("", -math.inf))
        if reason == decision.reason and now - noted < REPEAT_SECONDS:
            return True
        if len(self._waits) >= _VERSIONS_REMEMBERED:
            self._waits.clear()
        self._waits[version_id] = (decision.reason, now)
        return False


def _fields(decision: Decision, instance: str | None) -> dict[str, Any]:
    """Return the fields of a DecisionInfo but its time."""
    options = [option for option in decision.considered if math.isfinite(option.seconds)][:MAX_OPTIONS]
    fields = asdict(decision) | {
        "kind": _KINDS[type(decision)],
        "instance": instance,
        "considered": [asdict(option) | {"seconds": option.seconds} for option in options],
    }
    return {name: value for name, value in fields.items() if value and name in DecisionInfo.model_fields}


def _parse(entry_id: str, body: str) -> Sequence[DecisionInfo]:
    """Read a stored decision; none where another release wrote it, in a form that only that one reads."""
    time = int(entry_id.partition("-")[0]) / 1000
    whole = json.dumps({**json.loads(body), "t": time})
    return readable(DecisionInfo, [(f"the decision of {time:.0f}", whole)])
