"""One instance's process as the agent sees it: its link, its raw output, its end. The fleet gives it meaning."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from quickthaw.types import Network, Version
from quickthaw_platform.cage.order import CageOrder
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.control_groups.group import Group
from quickthaw_platform.control_groups.limits import Limits
from quickthaw_platform.worker import checkpoint_frames, frames
from quickthaw_platform.worker.beginning import Beginning
from quickthaw_platform.worker.capture import StreamName
from quickthaw_platform.worker.egress_proxy import EgressProxy
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.link import Link
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.primed_process import Primed
from quickthaw_platform.worker.processes import WatchedProcess
from quickthaw_platform.worker.raw_output import RawOutput
from quickthaw_platform.worker.templates import Template

_log = structlog.get_logger()

BYTES_OF_A_CHARACTER = 4
FRAME_BYTES = 1 << 20
"""What a frame may have beside output."""

_LAST_LINES = 5
_EXIT_PATIENCE_SECONDS = 1.0
"""How long a process whose link has closed gets to end, before it is killed."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Hears what happens to an instance's process. Called from the loop's thread."""

    frame: Callable[[Frame], None]
    line: Callable[[StreamName, str], None]  # of what it writes to its bare descriptors 1 and 2
    end: Callable[[int | None], None]  # its exit status, once


@dataclass(frozen=True, slots=True)
class InstanceOrder:
    """What an instance is made of."""

    id: str
    version: Version
    bundle: Path
    workdir: Path
    env: dict[str, str]
    memory_bytes: int
    device: str
    threads: int
    max_output: int
    output_interval: float
    cage: CageOrder
    limits: Limits
    adapter: Checkpoint | None = None

    @property
    def most_frame_bytes(self) -> int:
        """What no frame of an honest instance has more than: all of its output, with four bytes for each character."""
        return BYTES_OF_A_CHARACTER * self.max_output + FRAME_BYTES

    def frame(self) -> Frame:
        """Return the order as the template takes it; made anew for each try, since it holds the time."""
        handler = self.version.spec.handler
        return {
            "t": "instance",
            "id": self.id,
            "version": self.version.id,
            "handler": None if handler is None else {"file": handler.file, "object": handler.object},
            "system": self.version.spec.system,
            "tools": [dict(tool) for tool in self.version.spec.tools or ()],
            "learn": self.adapter is None and Beginning.of(self.version.spec) is None,
            "adapter": None if self.adapter is None else checkpoint_frames.to_frame(self.adapter),
            "bundle": str(self.bundle),
            "workdir": str(self.workdir),
            "cage": replace(self.cage, workdir=str(self.workdir)).frame(),
            "env": self.env,
            "memory_bytes": self.memory_bytes,
            "device": self.device,
            "threads": self.threads,
            "concurrency": self.version.spec.concurrency,
            "resumable": self.version.spec.resumable,
            "max_output": self.max_output,
            "max_tokens": self.version.spec.default_max_tokens(),
            "max_tokens_limit": self.version.spec.max_tokens_limit,
            "output_interval": self.output_interval,
            "sent_at": time.monotonic(),
        }


class InstanceProcess:
    """For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        template: Template | Primed,
        order: InstanceOrder,
        group: Group | None,
        proxy: EgressProxy,
        listener: Listener,
    ) -> None:
        """`group` is to be the instance's alone, and is ended with it. Another may take the listener's place."""
        self._loop = loop
        self.listener = listener
        self.over = False
        self._group = group
        self.ran_out_of_memory = False  # it was killed for what all its processes used together
        self.ended_for: str | None = None  # why the agent ended it, where it did for a fault of its
        self._process: WatchedProcess | None = None
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._workdir = order.workdir
        self._workdir.mkdir(parents=True, exist_ok=True)
        ours, theirs = frames.pair()
        self._outputs = [RawOutput(loop, stream, self._line, self.last_lines) for stream in ("stdout", "stderr")]
        self._link = Link(loop, ours, self._take, self._closed, most_bytes=order.most_frame_bytes)
        outputs = [output.theirs for output in self._outputs]
        frame = order.frame() | {"group": None if group is None else group.order.frame()}
        self._way_out = proxy.open(order.version) if order.cage.network is Network.EGRESS else None
        ends = [theirs] if self._way_out is None else [theirs, self._way_out.end]
        adapter = checkpoint_frames.descriptors(order.adapter)
        template.link.send(frame, [ends[0], *outputs, *ends[1:], *adapter])
        for end in ends:
            end.close()
        for output in self._outputs:
            os.close(output.theirs)

    @property
    def pid(self) -> int | None:
        """The process id, once it is known."""
        return self._process.pid if self._process is not None else None

    @property
    def ended_at(self) -> float | None:
        """When its process was found ended, by the monotonic clock; None: not yet, or there was none."""
        return self._process.ended_at if self._process is not None else None

    def send(self, frame: Frame) -> None:
        """Send the instance a frame; one that has gone takes none."""
        self._link.send(frame)

    def kill(self, fault: str | None = None) -> None:
        """End it without asking; `fault` says what it did, if that is why."""
        self.ended_for = self.ended_for or fault
        if self._process is not None:
            self._process.kill()
        else:
            self._link.close()  # not forked yet, or about to say hello: it ends when it finds nobody
            self._end(None)

    def adopt(self, pid: int) -> None:
        """Watch the process; idempotent."""
        if self._process is None and not self.over:
            self._process = WatchedProcess(self._loop, pid, self._end)

    def reported(self, status: int) -> None:
        """Take the template's word on how it ended."""
        if self._process is not None:
            self._process.reported(status)

    def _take(self, frame: Frame) -> None:
        if frame["t"] == "hello":
            if self._process is None:  # said ahead of all that the instance itself says
                self.adopt(frame["pid"])
        else:
            self.listener.frame(frame)

    def _line(self, stream: StreamName, line: str) -> None:
        self.listener.line(stream, line)

    def _closed(self) -> None:
        if self._link.fault is not None:
            self.ended_for = f"it sent its node what is no message ({self._link.fault})"
        self._loop.later(_EXIT_PATIENCE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self._process is None:
            self._end(None)
        elif not self.over:
            self.kill("it closed the socket to its node")

    def _end(self, status: int | None) -> None:
        if self.over:
            return
        self.over = True
        self._link.drain()
        self._link.close()
        for output in self._outputs:
            output.close()
        if self._way_out is not None:
            self._way_out.close()
        if self._group is not None:
            self.ran_out_of_memory = self._group.ran_out_of_memory
        threading.Thread(target=_remove, args=(self._workdir, self._group), name="remove-workdir").start()
        self.listener.end(status)


def _remove(workdir: Path, group: Group | None) -> None:
    """End what the instance left, delete the folder of one try, and that of the instance when no other try uses it."""
    if group is not None and not group.end():
        _log.error("processes of an instance do not end; its control group stays", group=str(group.folder))
    shutil.rmtree(workdir, ignore_errors=True)
    with contextlib.suppress(OSError):
        workdir.parent.rmdir()
