"""The process that shortens long prompts: `python -m quickthaw_platform.gateway.prompt_compression.process`.

See killable.serve. Each message is JSON: `[name, arguments]` of one of TASKS comes, a list of `[text, reason]` goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from quickthaw_platform.gateway.killable import serve
from quickthaw_platform.gateway.prompt_compression.shortening import Shortened, shorten, verified

MAX_SECONDS = 20
"""Of computing, for one prompt."""

MAX_MEMORY_BYTES = 4 << 30
"""Address space of the process."""


TASKS: Mapping[str, Callable[..., list[Shortened]]] = {"shorten": shorten, "verified": verified}


def main() -> None:
    """Answer one message after another until the other side closes."""
    serve(_answer, cpu_seconds=MAX_SECONDS, memory_bytes=MAX_MEMORY_BYTES)


def _answer(message: bytes) -> bytes:
    name, arguments = json.loads(message)
    return json.dumps(TASKS[name](*arguments)).encode()


if __name__ == "__main__":
    main()
