"""The queues of versions as a whole: how long they are, why they wait, and ending all that waits."""

from __future__ import annotations

from redis import Redis

from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.invocations.records import Ending
from quickthaw_platform.invocations.scripts import Scripts

BATCH = 100
EXPLANATION_SECONDS = 60
"""How long a reason is shown that nobody renews."""


class Queues:
    """One queue a version: fair between API keys, and by arrival for each (see admit.lua)."""

    def __init__(self, redis: Redis) -> None:
        self._scripts = Scripts(redis)

    def waiting(self) -> dict[str, int]:
        """Return how many invocations wait for each version that has any."""
        flat = self._scripts.run("waiting")
        return dict(zip(flat[::2], map(int, flat[1::2]), strict=True))

    def explain(
        self,
        version: str,
        reason: str,
        estimate_seconds: float | None = None,
        slots: int = 0,
        service_seconds: float | None = None,
    ) -> None:
        """Say why the version's queue waits, and in how many seconds an instance is expected to serve its first.

        `slots` serve the queue then, each taken for `service_seconds`: from these follows when the others' turn is.
        """
        estimate = "" if estimate_seconds is None else estimate_seconds
        service = "" if service_seconds is None else service_seconds
        self._scripts.run("explain", version, EXPLANATION_SECONDS * 1000, reason, estimate, slots, service)

    def fail_waiting(self, version: str, error: QuickthawError) -> list[str]:
        """Fail all that waits for the version with `error`; returns the ids, in order of arrival."""
        ending = Ending(error=error.to_json())
        failed: list[str] = []
        while True:
            batch = self._scripts.run("fail_waiting", version, BATCH, ending.event(), *ending.fields())
            failed += batch
            if len(batch) < BATCH:
                return failed
