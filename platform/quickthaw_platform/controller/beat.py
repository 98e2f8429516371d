"""Celery beat that outlives an outage of Redis."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import structlog
from redbeat.schedulers import RedBeatScheduler, acquire_distributed_beat_lock
from redis.exceptions import LockError

from quickthaw_platform.invocations.outage import OUTAGE

RETRY_SECONDS = 0.5

_log = structlog.get_logger()


class ControllerBeat(RedBeatScheduler):  # type: ignore[misc]  # redbeat has no types
    """RedBeat ends when Redis does not answer, or when its lock ran out meanwhile; this one tries again."""

    lock: Any

    def setup_schedule(self) -> None:
        """Write down what is to be sent and when; blocks while Redis is out."""
        while True:
            try:
                super().setup_schedule()
                return
            except OUTAGE as error:
                _log.warning("beat cannot begin without Redis; trying again", error=str(error))
                time.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """Give the lock back, if Redis takes it: else it runs out."""
        try:
            super().close()
        except (*OUTAGE, LockError) as error:
            _log.warning("beat's lock stays until it runs out", error=str(error))

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; returns the seconds to the next tick."""
        try:
            if self.lock is None:  # beat could not get it when it started, or lost it
                acquire_distributed_beat_lock(SimpleNamespace(scheduler=self))
            return float(super().tick(*args, **kwargs))
        except LockError:
            _log.warning("beat lost its lock; waiting for it again")
            self.lock = None
        except OUTAGE as error:
            _log.warning("beat cannot reach Redis; trying again", error=str(error))
        return RETRY_SECONDS
