"""Where in a request a structure, tools' parameters and max_tokens are written, to be named where they are refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of one API. The defaults are the native one's."""

    structure: str = "sampling.structure"
    tool: str = "chat.tools.{}.function.parameters"  # with the tool's number in place of {}
    max_tokens: str = "sampling.max_tokens"


NATIVE = Places()
