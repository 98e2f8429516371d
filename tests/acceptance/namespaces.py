"""Network namespaces on one bridge, each a host of its own as far as the network can tell. Needs root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

SUBNET = "10.213.7"
OUTSIDE = "outside"
"""The name of this process's own namespace on the bridge."""


class NotPermitted(Exception):
    """This machine does not let us make namespaces; the message has its words."""


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPermitted(f"ip {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")


class Network:
    """Hosts by name. The bridge lies in a namespace too, so that nothing is left outside but one end of a cable."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._prefix = f"qt{os.getpid() % 100_000}"
        self._hosts = tuple(hosts)
        self._switch = self._namespace("switch")

    def up(self) -> None:
        """Make everything. NotPermitted where this machine does not allow it."""
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "dev", "bridge", "up")
        for host in self._hosts:
            namespace = self._namespace(host)
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "dev", "lo", "up")
            _ip("-n", namespace, "link", "add", "cable", "type", "veth", "peer", "name", host, "netns", self._switch)
            self._plug(host, "cable", "-n", namespace)
        cable = f"{self._prefix}-out"
        _ip("link", "add", cable, "type", "veth", "peer", "name", OUTSIDE, "netns", self._switch)
        self._plug(OUTSIDE, cable)

    def down(self) -> None:
        """Remove everything; what is not there is passed over."""
        for name in (self._switch, *map(self._namespace, self._hosts)):
            with contextlib.suppress(NotPermitted):
                _ip("netns", "del", name)

    def address(self, host: str) -> str:
        """Return a host's address."""
        return f"{SUBNET}.{[OUTSIDE, *self._hosts].index(host) + 1}"

    def within(self, host: str) -> list[str]:
        """Return what stands before a command that is to run on a host."""
        return ["nsenter", f"--net=/run/netns/{self._namespace(host)}"]

    @contextlib.contextmanager
    def cut(self, host: str) -> Iterator[None]:
        """Let nothing through to or from a host for a while; nobody is told."""
        _ip("-n", self._switch, "link", "set", "dev", host, "down")
        try:
            yield
        finally:
            _ip("-n", self._switch, "link", "set", "dev", host, "up")

    def _namespace(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def _plug(self, host: str, cable: str, *where: str) -> None:
        _ip("-n", self._switch, "link", "set", "dev", host, "master", "bridge", "up")
        _ip(*where, "address", "add", f"{self.address(host)}/24", "dev", cable)
        _ip(*where, "link", "set", "dev", cable, "up")


@contextlib.contextmanager
def network(hosts: Sequence[str]) -> Iterator[Network]:
    """Yield a network that is up, and remove it in the end, also when it came up only in part."""
    made = Network(hosts)
    try:
        made.up()
        yield made
    finally:
        made.down()


def refusal() -> str:
    """Return why namespaces cannot be made here; '' where they can."""
    try:
        with network(("probe",)) as made:
            subprocess.run([*made.within("probe"), "true"], capture_output=True, check=True)
    except (NotPermitted, OSError, subprocess.CalledProcessError) as error:
        return str(error)
    return ""
