"""The agent's side of the node's proxy: started when the first instance needs it, and again when it dies.

The agent keeps the socket of each instance, so that one that connects while there is no proxy waits for the next.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from quickthaw.types import Version
from quickthaw_platform.metering.counters_folder import VARIABLE as COUNTERS_FOLDER
from quickthaw_platform.setting_values.networks import Network
from quickthaw_platform.worker import frames
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.linked_process import LinkedProcess, environment
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.processes import describe_exit

RESTART_SECONDS = 1.0
_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class WayOut:
    """One instance's way to the proxy."""

    proxy: EgressProxy
    key: int
    version: Version
    channel: socket.socket  # by which the socket comes at which the instance listens
    end: socket.socket  # the other one, for the instance; it is closed here when it has been sent there
    listener: socket.socket | None = None  # as long as it is open, and has come

    def close(self) -> None:
        """End its connections, and take no more."""
        self.proxy.forget(self)


class EgressProxy:
    """For the loop's thread only."""

    def __init__(self, loop: Loop, allowed: Sequence[Network], log_level: str) -> None:
        """`allowed` are networks that are not public, and may be reached all the same."""
        self._loop = loop
        self._arguments = [log_level, *map(str, allowed)]
        self._keys = itertools.count()
        self._ways: dict[int, WayOut] = {}
        self._process: LinkedProcess | None = None
        self._ready = False  # to read what it is sent
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The proxy's process id; None while there is none."""
        return self._process.pid if self._process is not None else None

    def open(self, version: Version) -> WayOut:
        """Return the way out of an instance of a version."""
        ours, theirs = frames.pair()
        way = WayOut(self, next(self._keys), version, ours, theirs)
        self._ways[way.key] = way
        self._loop.watch(ours.fileno(), lambda _events: self._receive(way))
        if self._process is None:
            self._start()
        return way

    def forget(self, way: WayOut) -> None:
        """End a way out; idempotent."""
        if self._ways.pop(way.key, None) is None:
            return
        self._close_channel(way)
        if way.listener is not None:
            way.listener.close()
            if self._process is not None:
                self._process.link.send({"t": "close", "key": way.key})

    def close(self) -> None:
        """Let the process end (it sees its socket close), and start no other."""
        self._closing = True
        if self._process is not None:
            self._process.link.close()

    def kill(self) -> None:
        """End it without asking."""
        if self._process is not None:
            self._process.kill()

    def _receive(self, way: WayOut) -> None:
        """Take the socket that an instance sends, before any code of its function runs; or it has ended."""
        found: list[int] = []
        with contextlib.suppress(OSError):
            _data, found, _flags, _address = socket.recv_fds(way.channel, 1, 1, socket.MSG_CMSG_CLOEXEC)
        self._close_channel(way)
        if found:
            way.listener = socket.socket(fileno=found[0])
            self._announce(way)

    def _close_channel(self, way: WayOut) -> None:
        if way.channel.fileno() >= 0:
            self._loop.unwatch(way.channel.fileno())
            way.channel.close()

    def _announce(self, way: WayOut) -> None:
        if self._ready and self._process is not None and way.listener is not None:
            spec = way.version.spec
            frame = {"t": "open", "key": way.key, "function": spec.name, "version": way.version.id}
            self._process.link.send(frame | {"egress": list(spec.egress)}, [way.listener])

    def _start(self) -> None:
        if self._closing or self._process is not None:
            return
        counters = {name: value for name, value in os.environ.items() if name == COUNTERS_FOLDER}
        try:
            self._process = LinkedProcess(
                self._loop,
                "quickthaw_platform.egress.process",
                self._arguments,
                environment=environment(os.environ) | counters,
                on_frame=self._take,
                on_death=self._died,
            )
        except OSError as error:
            _log.error("the proxy of functions cannot be started; trying again", error=str(error))
            self._loop.later(RESTART_SECONDS, self._start)

    def _take(self, _frame: Frame) -> None:
        """It is ready."""
        self._ready = True
        for way in self._ways.values():
            self._announce(way)

    def _died(self, status: int | None) -> None:
        self._process, self._ready = None, False
        if not self._closing:
            _log.error("the proxy of functions ended; starting another", how=describe_exit(status))
            self._loop.later(RESTART_SECONDS, self._start)
