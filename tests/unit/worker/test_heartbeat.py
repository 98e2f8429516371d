"""A node's sign of life: two workers under one name notice each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis import Redis
from structlog.testing import capture_logs

from quickthaw.types import Isolation
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.contracts import NodeState
from quickthaw_platform.control_groups.delegation import Delegation
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.heartbeat import Beat, Heartbeat

BEAT = Beat(NodeState.READY, "cpu", 1, frozenset(), frozenset(), frozenset(), "{}", Grant(Isolation.NONE), Delegation())


class EmptyDisk:
    def list(self) -> list[Any]:
        return []


class DeafCatalogue:
    def announce(self, _entries: Any) -> frozenset[str]:
        return frozenset()


def heartbeat(redis: Redis, folder: Path) -> Heartbeat:
    disk: Any = EmptyDisk()
    catalogue: Any = DeafCatalogue()
    settings = Settings(node="twin", data_dir=folder)
    return Heartbeat(redis, settings, disk, catalogue, lambda: BEAT, on_new=lambda: None, on_beat=())


def beaten(*hearts: Heartbeat) -> list[str]:
    """Have each beat once, in turn; returns the errors that they log."""
    with capture_logs() as logs:
        for heart in hearts:
            heart._once()
    return [entry["event"] for entry in logs if entry["log_level"] == "error"]


def test_workers_under_one_name_say_so_and_a_successor_does_not(redis: Redis, tmp_path: Path) -> None:
    first, second = heartbeat(redis, tmp_path), heartbeat(redis, tmp_path)
    assert beaten(first, first, second, second) == []  # the second took the place of the first
    (told,) = beaten(first)
    assert "another worker runs under this node's name" in told
