"""How long an idle instance is kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_platform.contracts import InstanceView


class FixedKeepAlive:
    """Keep an idle instance for the time that its function's `keep_alive` says."""

    def expires(
        self,
        instance: InstanceView,  # noqa: ARG002 - the contract's; this policy treats all alike
        keep_alive_seconds: float,
        idle_gaps: Sequence[float],  # noqa: ARG002 - the contract's; this policy learns nothing
    ) -> float:
        """Return `keep_alive_seconds`."""
        return keep_alive_seconds
