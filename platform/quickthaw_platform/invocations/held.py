"""What an API key holds of the store, as its callers hear of it; the counting is in held.lua."""

from __future__ import annotations

import math

from quickthaw_platform.errors import QuickthawError, RateLimited, RequestTooLarge

CODE = "store_budget_exceeded"
UNKNOWN_SECONDS = 5.0
"""When a refused call may come again where all that its key holds belongs to calls that still run."""


def too_much_held(
    may_hold_bytes: int, held_bytes: int, call_bytes: float, seconds: float = UNKNOWN_SECONDS
) -> QuickthawError:
    """Return the refusal of a call for which its key would hold more than it may; in `seconds` some of that goes."""
    if call_bytes > may_hold_bytes:
        return RequestTooLarge(
            f"the call takes {call_bytes:,.0f} bytes of the platform's store, and its API key may hold "
            f"{may_hold_bytes:,}; send less, or have an administrator raise the key's `store_bytes` (or the setting "
            "key_store)",
            code=CODE,
        )
    return RateLimited(
        f"the API key holds {held_bytes:,} of the {may_hold_bytes:,} bytes of the platform's store that it may: by "
        f"calls that run, answers that can still be looked up and stored responses. Some of that goes in "
        f"{math.ceil(seconds)} s; stored responses can be deleted before, and an administrator can raise the key's "
        "`store_bytes` (or the setting key_store)",
        code=CODE,
        retry_after_seconds=max(1.0, seconds),
    )
