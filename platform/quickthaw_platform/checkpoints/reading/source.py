"""Where a load takes its bytes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class ByteSource(Protocol):
    """The weights files of one checkpoint, wherever they lie. `read` is called from several threads at once."""

    name: str  # as messages and metrics call it: disk or remote

    def read(self, file: int, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` with the bytes of the weights file with this index from `begin` on.

        Raises CheckpointBroken, which names the file, where it is cut off or unreadable, RemoteError, and
        LoadCancelled soon after `stop` says so.
        """

    def close(self) -> None:
        """Let go of descriptors and connections. Idempotent."""
