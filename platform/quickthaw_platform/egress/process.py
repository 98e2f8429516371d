"""The process of a node's proxy: `python -m quickthaw_platform.egress.process FD LOG_LEVEL [NETWORK…]`.

It says `ready`, then the agent sends by the socket FD the frames `open`, with the socket at which an instance's
connections come, and `close`; when that closes, the process ends. NETWORKs are not public, and may be reached all the
same.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import sys

from quickthaw.egress import read_destinations
from quickthaw_platform.cage import kernel
from quickthaw_platform.egress.gate import Gate, Requests
from quickthaw_platform.egress.rules import Rules
from quickthaw_platform.hidden_memory import hide_memory
from quickthaw_platform.metering import logs
from quickthaw_platform.setting_values.networks import Network, read_networks
from quickthaw_platform.worker import frames
from quickthaw_platform.worker.frames import Frame


class Proxy:
    """The gates of a node's instances."""

    def __init__(self, control: socket.socket, allowed: tuple[Network, ...]) -> None:
        control.setblocking(False)
        self._receiver = frames.Receiver(control)
        self._allowed = allowed
        self._gates: dict[int, Gate] = {}
        self._requests: dict[str, Requests] = {}  # by version
        self._closing: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    async def serve(self) -> None:
        """Serve until the agent goes."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._receiver.sock.fileno(), self._ready)
        frames.send(self._receiver.sock, {"t": "ready"})
        await self._over.wait()
        loop.remove_reader(self._receiver.sock.fileno())
        for key in list(self._gates):
            await self._gates.pop(key).close()

    def _ready(self) -> None:
        received = self._receiver.read()
        for frame in received or ():
            self._take(frame)
        if received is None:
            self._over.set()

    def _take(self, frame: Frame) -> None:
        match frame["t"]:
            case "open":
                listener = socket.socket(fileno=self._receiver.take_fd())
                version = frame["version"]
                requests = self._requests.setdefault(version, Requests(frame["function"], version))
                rules = Rules(read_destinations(frame["egress"]), self._allowed)
                self._gates[frame["key"]] = Gate(listener, rules, requests)
            case "close":
                gate = self._gates.pop(frame["key"], None)
                if gate is not None:
                    self._closing.add(closing := asyncio.create_task(gate.close()))
                    closing.add_done_callback(self._closing.discard)


async def _serve(control: socket.socket, allowed: tuple[Network, ...]) -> None:
    await Proxy(control, allowed).serve()


def main(arguments: list[str]) -> None:
    """Serve until the agent goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernel.set_name("qt-egress")
    hide_memory()  # what functions say is not for others of this user
    logs.configure(arguments[1], "egress")
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    asyncio.run(_serve(control, read_networks(arguments[2:])))


if __name__ == "__main__":
    main(sys.argv[1:])
