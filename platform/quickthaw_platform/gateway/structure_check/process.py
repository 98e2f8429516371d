"""The process that tries structures: `python -m quickthaw_platform.gateway.structure_check.process`, on standard input.

That is a socket. Each message either way is its length (4 bytes, big-endian) and JSON: `[kind, value]` comes, null or
`[message, path]` goes. The process ends when its parent is gone; what takes too much of the machine kills it.
"""

from __future__ import annotations

import json
import math
import resource
import socket
import struct
import sys
from typing import BinaryIO

from quickthaw_platform.gateway.structure_check.compiling import tried
from quickthaw_platform.gateway.structure_check.limits import MAX_MEMORY_BYTES, MAX_SECONDS, NO_MEMORY


def main() -> None:
    """Answer one message after another until the other side closes."""
    try:
        _serve()
    except MemoryError:
        sys.exit(NO_MEMORY)


def _serve() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=0) as connection:
        connection.setblocking(True)
        with connection.makefile("rb") as source:
            while (message := _read(source)) is not None:
                _allow_seconds()
                refusal = tried(*json.loads(message))
                answer = json.dumps(None if refusal is None else [refusal.message, refusal.path]).encode()
                connection.sendall(struct.pack(">I", len(answer)) + answer)


def _read(source: BinaryIO) -> bytes | None:
    header = source.read(4)
    return source.read(struct.unpack(">I", header)[0]) if len(header) == 4 else None


def _allow_seconds() -> None:
    """Let the kernel end this process when the next message has taken its seconds of computing."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime) + MAX_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
