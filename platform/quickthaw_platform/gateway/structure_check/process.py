"""The process that tries structures: `python -m quickthaw_platform.gateway.structure_check.process`, on standard input.

See killable.serve. Each message is JSON: `[kind, value]` comes, null or `[message, path]` goes. The process ends when
its parent is gone; what takes too much of the machine kills it.
"""

from __future__ import annotations

import json

from quickthaw_platform.gateway.killable import serve
from quickthaw_platform.gateway.structure_check.compiling import tried
from quickthaw_platform.gateway.structure_check.limits import MAX_MEMORY_BYTES, MAX_SECONDS


def main() -> None:
    """Answer one message after another until the other side closes."""
    serve(_answer, cpu_seconds=MAX_SECONDS, memory_bytes=MAX_MEMORY_BYTES)


def _answer(message: bytes) -> bytes:
    refusal = tried(*json.loads(message))
    return json.dumps(None if refusal is None else [refusal.message, refusal.path]).encode()


if __name__ == "__main__":
    main()
