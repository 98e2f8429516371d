"""The parent's side of the process that tries structures."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys

from quickthaw_platform.gateway.structure_check.limits import NO_MEMORY
from quickthaw_platform.gateway.structure_check.refusal import Refusal

MAX_WAIT_SECONDS = 10.0
"""The process ends itself after a second or two of computing; on a crowded machine the clock may say more."""

TOO_MUCH = Refusal("it takes more than a second of computing or more memory than a grammar may have; simplify it")
FATAL = Refusal("the compiler of grammars fails on it")
_MODULE = "quickthaw_platform.gateway.structure_check.process"
_OVERRUN = frozenset({-signal.SIGXCPU, -signal.SIGABRT, NO_MEMORY})  # of time; of memory in Rust, and in Python


class HelperLost(Exception):
    """The process was gone, for a reason of its own."""


class Helper:
    """One such process. For one thread at a time; with gevent's patches only the asking greenlet waits."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE], stdin=theirs.fileno(), stdout=subprocess.DEVNULL
            )
        self._connection.settimeout(MAX_WAIT_SECONDS)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, message: bytes) -> Refusal | None:
        """Return what becomes of a structure (see process). Raises HelperLost; the process is gone then.

        It is gone as well after TOO_MUCH.
        """
        try:
            self._connection.sendall(struct.pack(">I", len(message)) + message)
            (length,) = struct.unpack(">I", self._receive(4))
            answer = json.loads(self._receive(length))
        except TimeoutError:
            self.close()
            return TOO_MUCH
        except OSError as error:
            self.close()
            if self._process.returncode in _OVERRUN:
                return TOO_MUCH
            raise HelperLost from error
        return None if answer is None else Refusal(*answer)

    def close(self) -> None:
        """End the process. Idempotent."""
        self._connection.close()
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            piece = self._connection.recv(count - len(found))
            if not piece:
                raise ConnectionResetError("the process that tries structures is gone")
            found += piece
        return found
