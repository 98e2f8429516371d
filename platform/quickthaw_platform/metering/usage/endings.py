"""Which invocations ended where they ran: what moved on is counted by whoever ends it, so each counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform.invocations.log import inv_key
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.metering.usage.device_meter import Tokens


@dataclass(frozen=True, slots=True)
class Served:
    """An invocation that an instance has served at an epoch, whatever became of it."""

    instance: str
    invocation: str
    epoch: int
    key: str  # id of the API key; empty: none
    tokens: Tokens


class Endings:
    """Asks Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def ended(self, served: Sequence[Served]) -> list[bool | None]:
        """Return of each whether it ended at that epoch; None: nothing has become of it yet. Raises Unavailable.

        One that Redis has forgotten did end, and is nobody else's any more.
        """
        if not served:
            return []
        with outage_is_unavailable(), self._redis.pipeline(transaction=False) as pipe:
            for each in served:
                pipe.hmget(inv_key(each.invocation), "state", "epoch")
            answers: list[Any] = pipe.execute()
        return [_ended(*answer, epoch=each.epoch) for each, answer in zip(served, answers, strict=True)]


_ENDED = frozenset(state for state in InvocationState if state.ended)


def _ended(state: str | None, known_epoch: str | None, *, epoch: int) -> bool | None:
    if state is None or known_epoch is None:
        return True
    if int(known_epoch) != epoch:
        return False
    return True if state in _ENDED else None  # one of a state that another release has is asked for again
