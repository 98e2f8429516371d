"""The time that the deploy names."""

from __future__ import annotations

from quickthaw_platform.contracts import IdleHistory, Keep


class FixedKeepAlive:
    """Keep an idle instance for the time that its function's `keep_alive` says."""

    def keep(self, history: IdleHistory) -> Keep:
        """Return `keep_alive_seconds`."""
        return Keep(history.keep_alive_seconds)
