"""How a forked process joins its group: its parent moves it there while it goes on, and it waits before foreign code.

The kernel takes some ten milliseconds for a move (it waits until no processor is in the middle of a fork or an exit),
which would be felt in every start. clone3 can fork into a group at once, but is refused where namespaces are restricted
by seccomp, as in containers and in systemd's units; and Python cannot fork by it.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quickthaw.errors import StartFailed

_JOINED = b"joined"
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class JoinOrder:
    """The group that an instance is to join, as it travels in frames."""

    folder: str
    memory_bytes: int | None  # see Limits; None: not bounded here

    def frame(self) -> dict[str, Any]:
        """Return the order as part of a frame."""
        return asdict(self)


class Joining:
    """Made before the fork; `move` is for the parent, `wait` for the child. Without an order both do nothing."""

    def __init__(self, frame: dict[str, Any] | None) -> None:
        """`frame` is what `JoinOrder.frame` returned; None: there is no group."""
        self._order = None if frame is None else JoinOrder(**frame)
        self._reader: int | None = None
        self._writer: int | None = None
        if frame is not None:
            self._reader, self._writer = os.pipe()

    @property
    def kept(self) -> frozenset[int]:
        """The descriptors that the child needs for `wait`; it closes the others of its parent's."""
        return frozenset(() if self._reader is None else (self._reader,))

    def move(self, pid: int) -> None:
        """Set the limit of memory by what this process, the child's template, holds; then move the child there."""
        if self._order is None or self._writer is None:
            return
        try:
            _move(pid, Path(self._order.folder), self._order.memory_bytes)
        except ProcessLookupError:
            pass  # it has ended already
        except OSError as error:
            os.write(self._writer, f"its control group could not be joined: {error}".encode())
        else:
            os.write(self._writer, _JOINED)

    def wait(self) -> None:
        """Return when this process is in the group. Raises StartFailed where that failed, or its parent has gone."""
        if self._reader is None:
            return
        said = os.read(self._reader, _MOST_BYTES)
        os.close(self._reader)
        if said != _JOINED:
            raise StartFailed(said.decode(errors="replace") or "its template ended while it was starting")

    def close(self) -> None:
        """Let go of the parent's descriptors."""
        for fd in (self._reader, self._writer):
            if fd is not None:
                os.close(fd)


def _move(pid: int, folder: Path, memory_bytes: int | None) -> None:
    if memory_bytes is not None:
        held = own_bytes(Path("/proc/self/status").read_text())
        (folder / "memory.max").write_text(str(held + memory_bytes))
    (folder / "cgroup.procs").write_text(str(pid))


def own_bytes(status: str) -> int:
    """Return RssAnon of a /proc/PID/status text, in bytes: what a fork of that process may come to have copied."""
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise ValueError("there is no RssAnon in the process status")
