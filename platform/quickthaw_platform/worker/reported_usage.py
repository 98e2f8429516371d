"""Tokens that an instance says it has used, checked by what its agent has relayed of it: callers are charged for them.

A function's own code may say anything. So an answer counts for no more tokens than came out of the instance, and a
prompt for no more than the model's context, once for each answer that began. What a function can still charge is what
it could have used honestly, by asking its model as often. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from quickthaw.types import Usage
from quickthaw_platform.metering.usage.device_meter import Tokens
from quickthaw_platform.worker.frames import ProtocolError

UNHEARD_TOKENS_PER_SECOND = 1_000_000
"""No model reads or writes faster. It bounds what nothing is relayed of: embedded texts, and what a handler that is not
resumable keeps to itself.
"""


class Heard:
    """The tokens of an invocation, as far as its model's output was relayed."""

    def __init__(self, most_prompt_tokens: int) -> None:
        self._most_prompt_tokens = most_prompt_tokens
        self._read = self._generated = self._cached = 0

    @property
    def tokens(self) -> Tokens:
        """All of them so far."""
        return Tokens(self._read, self._generated, self._cached)

    def take(self, delta: Mapping[str, Any]) -> None:
        """Add model output; a prompt counts with the first delta of its answer. Raises ProtocolError."""
        read, cached, generated = delta.get("prompt_tokens") or 0, delta.get("cached_tokens") or 0, delta.get("tokens")
        if not isinstance(generated, list) or type(read) is not int or type(cached) is not int:
            raise ProtocolError("model output has a list of tokens, and counts of its prompt")
        if not 0 <= cached <= read <= self._most_prompt_tokens:
            raise ProtocolError(f"no prompt has {read:,} tokens, {cached:,} of them kept ones")
        self._read += read
        self._generated += len(generated)
        self._cached += cached


def usage_of(reported: object) -> Usage:
    """Return the usage that a handler's end carries. Raises ProtocolError."""
    try:
        usage = Usage.model_validate(reported)
    except ValidationError as error:
        raise ProtocolError(f"this is no usage: {error.error_count()} errors") from error
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.saved_tokens)
    if min(counts) < 0 or usage.cached_tokens > usage.prompt_tokens or len(usage.compression or "") > 100:
        raise ProtocolError("a usage counts from 0, and keeps no more of a prompt than that has")
    return usage


def plausible(claimed: Usage, heard: Tokens, left_out_bytes: int, unheard: Callable[[], int], *, tells: bool) -> Usage:
    """Return what of a claimed usage can be.

    `heard` is what was relayed, `left_out_bytes` the length of the texts that the gateway shortened (a token has a byte
    at least), and `unheard()` how many tokens may have gone unheard. `tells`: all that the model writes is relayed.
    """
    read, generated = claimed.prompt_tokens, claimed.completion_tokens
    if read > heard.read:
        read = min(read, heard.read + unheard())
    if generated > heard.generated:
        generated = heard.generated if tells else min(generated, heard.generated + unheard())
    saved = min(claimed.saved_tokens, left_out_bytes)
    if (read, generated, saved) == (claimed.prompt_tokens, claimed.completion_tokens, claimed.saved_tokens):
        return claimed
    return claimed.model_copy(
        update={
            "prompt_tokens": read,
            "completion_tokens": generated,
            "cached_tokens": min(claimed.cached_tokens, read),
            "original_tokens": None if claimed.original_tokens is None else read + saved,
        }
    )
