"""Bodies of requests, made before they are due: making one takes time that the sending has not."""

from __future__ import annotations

from collections import deque

from quickthaw_platform.traffic.planning import LoadPlan
from quickthaw_platform.traffic.target import Target

AHEAD = 1_000


class Bodies:
    """Gives the bodies of a plan's requests in order; at most `AHEAD` of them lie ready."""

    def __init__(self, plan: LoadPlan, target: Target) -> None:
        self._plan, self._target = plan, target
        self._ready: deque[bytes] = deque()
        self._made = 0

    def make_one_more(self) -> bool:
        """Make one; False where enough lie ready, or all are made."""
        if len(self._ready) >= AHEAD or self._made >= len(self._plan):
            return False
        tokens_out = int(self._plan.tokens_out[self._made])
        self._ready.append(self._target.body(self._plan.text(self._made), tokens_out))
        self._made += 1
        return True

    def take(self) -> bytes:
        """Return the next one, made now if need be."""
        if not self._ready:
            self.make_one_more()
        return self._ready.popleft()
