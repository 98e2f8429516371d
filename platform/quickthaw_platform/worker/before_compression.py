"""How many tokens a prompt had before the gateway shortened it, by the tokenizer of the model that read it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quickthaw.types import Usage


def counted(usage: Usage, request: Mapping[str, Any], count: Callable[[str], int]) -> Usage:
    """Return the usage with what the prompt would have been; as it is where the request was not to be compressed.

    `request` is the invocation's: its `compression` holds the `reason` and, as `originals`, each shortened text of the
    input as it was, with the path to what was sent in its place. `count` tells the tokens of a text. A call whose model
    was never asked has read no prompt, and so has saved none of it.
    """
    done = request.get("compression")
    if done is None:
        return usage
    left_out = 0
    if usage.prompt_tokens:
        left_out = sum(count(text) - count(_at(request["input"], path)) for path, text in done["originals"])
    original = usage.prompt_tokens + max(0, left_out)
    return usage.model_copy(update={"original_tokens": original, "compression": done["reason"]})


def _at(input: Mapping[str, Any], path: list[str | int]) -> str:
    found: Any = input
    for step in path:
        found = found[step]
    return str(found)
