"""Where checkpoints lie beyond the nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """An object of a remote store. `etag` changes whenever the content does."""

    key: str
    bytes: int
    etag: str


class RemoteStore(Protocol):
    """Where checkpoints lie beyond the nodes: S3, or a directory that all nodes see. Keys are relative to `url`.

    All methods block and may be called from many threads. They raise RemoteMissing (no such object, bucket or
    folder), RemoteDenied (credentials), RemoteChanged (another content than `etag`) and, when retries are used up,
    RemoteUnavailable; each names the object.
    """

    url: str

    def list(self, prefix: str = "") -> list[RemoteObject]:
        """Return the objects whose keys begin with `prefix`, by key; none where there are none."""

    def head(self, key: str) -> RemoteObject:
        """Return the object's size and etag."""

    def get_range(self, found: RemoteObject, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` with the object's bytes from `begin` on; nothing is copied twice.

        What arrived is kept when a connection breaks, and the rest is asked for again. RemoteChanged if the object is
        not any more the one that was `found`. `stop` is asked now and then: once it says so, LoadCancelled.
        """

    def put(self, key: str, source: Path | bytes) -> RemoteObject:
        """Write an object whole or not at all, in place of any other; a large file goes in parts."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is ignored."""

    def close(self) -> None:
        """Let go of connections. Idempotent."""
