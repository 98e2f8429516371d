"""Platforms that several files share, since one takes many seconds to start: one runs at a time, emptied between files.

A file's fixture asks for `one_node`, `two_nodes` or `small_disks`. What such a file leaves behind is taken away after
it; where that does not succeed, or a process is gone, the next file gets another platform.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from quickthaw import QuickthawError
from tests.acceptance.cluster import Cluster, wait_for

EMPTY_SECONDS = 60.0

SomeCluster = TypeVar("SomeCluster", bound=Cluster)


class SharedPlatform:
    """The platform that runs for several files."""

    def __init__(self) -> None:
        self._kind = ""
        self._cluster: Cluster | None = None

    @contextmanager
    def lent(self, kind: str, make: Callable[[], SomeCluster]) -> Iterator[SomeCluster]:
        """Lend a platform of this kind, which `make` makes, to a file, with nothing on it."""
        cluster = cast("SomeCluster", self._up(kind, make))
        try:
            yield cluster
        finally:
            if not is_empty(cluster):
                self.close()

    def close(self) -> None:
        """End the platform, if there is one, and check that nothing is left of it."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            left = cluster.down()
            assert not left, f"left behind: {left}"

    def _up(self, kind: str, make: Callable[[], Cluster]) -> Cluster:
        if kind != self._kind:
            self.close()
        if self._cluster is None:
            self._kind, self._cluster = kind, make()
            self._cluster.up()
        return self._cluster


def is_empty(cluster: Cluster) -> bool:
    """Take all calls, functions and instances away, and return whether what is left is as good as new."""
    client = cluster.client
    try:
        for invocation in cluster.redis.zrange("qt:active", 0, -1):
            with contextlib.suppress(QuickthawError):  # it has ended meanwhile
                client.cancel(str(invocation))
        for function in client.functions():
            client.delete_function(function.name)
        for instance in client.instances():
            with contextlib.suppress(QuickthawError):
                client.stop_instance(instance.id)
        wait_for(lambda: not client.instances(), "the end of all instances", EMPTY_SECONDS)
        return all(process.poll() is None for process in cluster.processes.values()) and _has_its_nodes(cluster)
    except (QuickthawError, AssertionError):
        return False


def _has_its_nodes(cluster: Cluster) -> bool:
    """Whether every node is there and takes work: a drained one does not."""
    return {node.id for node in cluster.client.nodes() if node.state == "ready"} == cluster.expected
