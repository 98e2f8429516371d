"""Which setting holds for a call, and the calls in which there is nothing to shorten. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from quickthaw.types import COMPRESSED_ARGUMENTS, Compression
from quickthaw_platform.errors import InvalidRequest

Asked = Compression | Literal[False] | None
"""What a call says: how; not at all; or nothing, and the function's setting holds."""

FIELD = "compress"

TOKEN_IDS, EXACT, NO_TEXT = "token_ids", "exact", "no_text"
"""Reasons, beside those of compression.Reason, for which a prompt is sent as it was: it has token ids, it is measured
or filled in word by word, or the call has neither messages nor a prompt.
"""

_WHY = {
    TOKEN_IDS: "a prompt of token ids cannot be compressed; send it as text",
    EXACT: "a prompt that is echoed, or that has a suffix, must stay as it is",
    NO_TEXT: "only `messages` and `prompt` are compressed, and the call has neither",
}


def setting_of(asked: Asked, own: Compression | None) -> Compression | None:
    """Return the setting that holds: the call's before the function's own; None: the prompt is sent as it is."""
    if asked is False:
        return None
    return own if asked is None else asked


def obstacle(input: Mapping[str, Any], sampling: Mapping[str, Any]) -> str | None:
    """Return the reason why a call's prompt has to stay as it is; None: it may be shortened."""
    if isinstance(input.get("prompt"), list):
        return TOKEN_IDS
    if sampling.get("echo") or input.get("suffix"):
        return EXACT
    return None if any(name in input for name in COMPRESSED_ARGUMENTS) else NO_TEXT


def refusal(reason: str) -> InvalidRequest:
    """Return the error for a call that asks for compression where there cannot be any."""
    return InvalidRequest(f"{FIELD}: {_WHY[reason]}, or leave {FIELD} out", param=FIELD)
