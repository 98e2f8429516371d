"""What a stream says of a call that waits for its function to thaw: the router's own estimate."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.errors import Unavailable
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.native_stream import status_of

FIELD = "quickthaw"
"""Where it stands in a chunk or an event: a name that no client's own fields have."""

_INTERNAL = ("node", "instance")


def waiting_for(line: Line, invocation: str) -> dict[str, Any]:
    """Return the field with the call's state, its place and reason to wait, and the seconds that this is estimated to
    take; none in an outage, which the stream may outlive.
    """
    try:
        status = status_of(line.services.store.get(invocation))
    except Unavailable:
        return {}
    return {FIELD: {name: value for name, value in status.items() if name not in _INTERNAL}}
