"""The process that does them: `python -m quickthaw_platform.gateway.expensive_checks.process`, on standard input.

See killable.serve. Each message is JSON: `[name, arguments]` of one of TASKS comes; null goes, or the error as
QuickthawError writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from quickthaw.types import FunctionSpec
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.gateway.killable import serve
from quickthaw_platform.gateway.validation import check_input
from quickthaw_platform.registry.validation import check_source

MAX_SECONDS = 2
"""Of computing, for one check."""

MAX_MEMORY_BYTES = 1 << 30
"""Address space of the process."""


def check_spec_source(spec: dict[str, object]) -> None:
    """Check the sources of a function's spec, given as JSON."""
    check_source(FunctionSpec.model_validate(spec))


TASKS: Mapping[str, Callable[..., None]] = {"input": check_input, "source": check_spec_source}


def main() -> None:
    """Answer one message after another until the other side closes."""
    serve(_answer, cpu_seconds=MAX_SECONDS, memory_bytes=MAX_MEMORY_BYTES)


def _answer(message: bytes) -> bytes:
    name, arguments = json.loads(message)
    try:
        TASKS[name](*arguments)
    except QuickthawError as error:
        return json.dumps(error.to_json()).encode()
    return b"null"


if __name__ == "__main__":
    main()
