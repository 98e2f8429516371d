"""Nothing goes before its room is wanted."""

from __future__ import annotations

import math

from quickthaw_platform.contracts import IdleHistory, Keep


class GreedyDualKeepAlive:
    """Keep every instance until another needs its room; which one goes then, the allocation policy says.

    FaasCache (Fuerst and Sharma, ASPLOS'21): keep-alive is caching, and a cache is not emptied by a clock.
    """

    def keep(self, history: IdleHistory) -> Keep:  # noqa: ARG002 - the past does not matter here
        """Return a time without end."""
        return Keep(math.inf)
