"""Whether the store has room for more: asked before anything is admitted, so that the store itself need not refuse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from redis import Redis

from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.outage import OUTAGE

FULL_SHARE = 0.8
"""Of the store's `maxmemory`. The rest is for what was admitted: its output, its end, and what nodes tell."""

READ_SECONDS = 1.0
RETRY_AFTER_SECONDS = 10.0


def in_the_background(work: Callable[[], None]) -> None:
    """Do something in a thread (a greenlet in the gateway) of its own."""
    threading.Thread(target=work, name="store-room", daemon=True).start()


class StoreRoom:
    """Knows what share of its memory the store has used, as of a moment ago. A store without `maxmemory` is never full.

    Who asks does not wait for the store: where the last look is old another begins, and who comes later knows of it.
    Only where the store was full is it looked at before anybody is refused.
    """

    def __init__(self, redis: Redis, spawn: Callable[[Callable[[], None]], None] = in_the_background) -> None:
        self._redis = redis
        self._spawn = spawn
        self._share = 0.0
        self._read_at = float("-inf")

    def check(self) -> None:
        """Raise Unavailable where the store has no room for anything new."""
        if self._share >= FULL_SHARE:
            self._read()
        elif time.monotonic() - self._read_at >= READ_SECONDS:
            self._read_at = time.monotonic()
            self._spawn(self._read)
        if self._share >= FULL_SHARE:
            raise Unavailable(
                f"the platform's store has used {self._share:.0%} of its memory and takes nothing new above "
                f"{FULL_SHARE:.0%}; try again later. An administrator can raise store_memory, shorten invocation_ttl "
                "or stored_ttl, or give API keys less `store_bytes`",
                code="store_full",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    def _read(self) -> None:
        with suppress(*OUTAGE):  # whoever needs the store hears of an outage from it
            found = self._redis.info("memory")
            most = int(found.get("maxmemory", 0))
            self._share = int(found["used_memory"]) / most if most else 0.0
