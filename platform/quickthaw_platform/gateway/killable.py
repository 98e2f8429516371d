"""The parent's side of a process that computes for the gateway and may be killed: what it does stalls nobody else."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import BinaryIO

_CREDENTIALS = ("AWS_", "QUICKTHAW_")
"""How variables begin that such a process is not given: it needs neither Redis nor S3, and can be looked into."""

NO_MEMORY = 77
"""Exit status of the process where Python could not get more."""

_OVERRUN = frozenset({-signal.SIGXCPU, -signal.SIGABRT, NO_MEMORY})  # of time; of memory in Rust, and in Python


class HelperLost(Exception):
    """The process was gone, for a reason of its own."""


class HelperOverran(Exception):
    """It took more time or memory than it may have, and is gone."""


class KillableProcess:
    """One such process: `module` is run, and calls `serve`. For one thread at a time; with gevent's patches only the
    asking greenlet waits.
    """

    def __init__(self, module: str, wait_seconds: float) -> None:
        """`wait_seconds`: the longest wait for an answer, by the clock."""
        self._connection, theirs = socket.socketpair()
        with theirs:
            environment = {name: value for name, value in os.environ.items() if not name.startswith(_CREDENTIALS)}
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module], stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment
            )
        self._connection.settimeout(wait_seconds)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, message: bytes) -> bytes:
        """Return what the process answers. Raises HelperLost or HelperOverran; the process is gone then."""
        try:
            self._connection.sendall(struct.pack(">I", len(message)) + message)
            (length,) = struct.unpack(">I", self._receive(4))
            return self._receive(length)
        except TimeoutError as error:
            self.close()
            raise HelperOverran from error
        except OSError as error:
            self.close()
            overran = self._process.returncode in _OVERRUN
            raise (HelperOverran if overran else HelperLost) from error

    def close(self) -> None:
        """End the process. Idempotent."""
        self._connection.close()
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            piece = self._connection.recv(count - len(found))
            if not piece:
                raise ConnectionResetError("the process is gone")
            found += piece
        return bytes(found)


def serve(answer: Callable[[bytes], bytes], *, cpu_seconds: int, memory_bytes: int) -> None:
    """Answer one message after another on standard input, a socket, until the other side closes: the child's side.

    Each message either way is its length (4 bytes, big-endian) and its bytes. The kernel ends the process where one
    message takes more seconds of computing, or the process more address space.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with socket.socket(fileno=0) as connection, contextlib.suppress(BrokenPipeError):
            connection.setblocking(True)
            with connection.makefile("rb") as source:
                while (message := _read(source)) is not None:
                    _allow_seconds(cpu_seconds)
                    found = answer(message)
                    connection.sendall(struct.pack(">I", len(found)) + found)
    except MemoryError:
        sys.exit(NO_MEMORY)


def _read(source: BinaryIO) -> bytes | None:
    header = source.read(4)
    return source.read(struct.unpack(">I", header)[0]) if len(header) == 4 else None


def _allow_seconds(seconds: int) -> None:
    """Let the kernel end this process when the next message has taken its seconds of computing."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
