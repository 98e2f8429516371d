"""A node's sign of life: its record in Redis, renewed at every beat by Redis' own clock."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis import Redis

from quickthaw.resources import CheckpointInfo
from quickthaw.version import VERSION
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import NodeState
from quickthaw_platform.control_groups.delegation import Delegation
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.catalogue import Catalogue, describe
from quickthaw_platform.settings import Settings

_BEAT = """
local time = redis.call('TIME')
local now = string.format('%.6f', tonumber(time[1]) + tonumber(time[2]) / 1e6)
local before = redis.call('HGET', KEYS[1], 'agent')
redis.call('HSET', KEYS[1], 'last_seen', now, unpack(ARGV, 2))
redis.call('HSETNX', KEYS[1], 'started_at', now)
redis.call('SADD', KEYS[2], ARGV[1])
return before
"""  # returns whose beat was the last under this name
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Beat:
    """What a node says of itself."""

    state: NodeState
    device: str
    memory_bytes: int
    templates: frozenset[str]  # ids of checkpoints with a live template
    primed: frozenset[str]  # ids of versions with a live primed template
    asleep: frozenset[str]  # ids of versions with a sleeping process
    tiers: str  # see checkpoints.tiers.status
    grant: Grant  # what its instances are isolated by
    delegation: Delegation  # what its instances are bounded by together


class Heartbeat:
    """A thread that announces the checkpoints on the node's disk when they change, and writes the node's record."""

    def __init__(
        self,
        redis: Redis,
        settings: Settings,
        disk: DiskStore,
        catalogue: Catalogue,
        beat: Callable[[], Beat],
        on_new: Callable[[], None],
        on_beat: Sequence[Callable[[], None]],
    ) -> None:
        """`on_new` hears that there are other checkpoints on the disk than before; `on_beat` follow each beat, and
        may raise Unavailable.
        """
        self._script = redis.register_script(_BEAT)
        self._redis = redis
        self._settings = settings
        self._disk = disk
        self._catalogue = catalogue
        self._beat = beat
        self._on_new = on_new
        self._on_beat = on_beat
        self._announced: Sequence[CheckpointInfo] | None = None
        self._agent = secrets.token_hex(8)
        self._has_beaten = False
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="agent-heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread; the first beat comes at once."""
        self._thread.start()

    def soon(self) -> None:
        """Beat now rather than at the next turn."""
        self._wake.set()

    def close(self) -> None:
        """End the thread and take the node's record away."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        try:
            with outage_is_unavailable(), self._redis.pipeline() as pipe:
                pipe.delete(RedisKey.NODE.of(self._settings.node), RedisKey.NODE_CALLS.of(self._settings.node))
                pipe.srem(RedisKey.NODES, self._settings.node)
                pipe.execute()
        except Unavailable as error:
            _log.warning("the node's record stays until the controller misses it", error=error.message)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._once()
            except Unavailable as error:
                self._announced = None  # Redis may come back without its last writes
                _log.warning("no heartbeat", error=error.message)
            except Exception:  # noqa: BLE001 - one bad beat (a broken disk, say) must not make the node look dead
                _log.exception("a heartbeat failed")
            self._wake.wait(self._settings.heartbeat)
            self._wake.clear()

    def _once(self) -> None:
        checkpoints = self._disk.list()
        beat = self._beat()
        fields: dict[str, Any] = {
            "state": beat.state.value,
            "device": beat.device,
            "memory_bytes": beat.memory_bytes,
            "checkpoints": json.dumps([checkpoint.id for checkpoint in checkpoints]),
            "templates": json.dumps(sorted(beat.templates)),
            "primed": json.dumps(sorted(beat.primed)),
            "asleep": json.dumps(sorted(beat.asleep)),
            "tiers": beat.tiers,
            "isolation": beat.grant.level.value,
            "not_stronger": beat.grant.why,
            "network": self._settings.network.value,
            "control_groups": json.dumps(beat.delegation.controllers),
            "not_bounded": beat.delegation.why,
            "labels": json.dumps(self._settings.labels),
            "remote": self._settings.remote or "",
            "pid": os.getpid(),
            "agent": self._agent,
            "version": VERSION,
        }
        with outage_is_unavailable():
            self._announce([describe(Manifest.of(checkpoint)) for checkpoint in reversed(checkpoints)])
            before = self._script(
                keys=[RedisKey.NODE.of(self._settings.node), RedisKey.NODES],
                args=[self._settings.node, *(part for pair in fields.items() for part in pair)],
            )
        if self._has_beaten and before not in (None, self._agent):
            _log.error("another worker runs under this node's name, and takes its work; give each its own --node")
        self._has_beaten = True
        for follow in self._on_beat:
            follow()

    def _announce(self, entries: Sequence[CheckpointInfo]) -> None:
        """Of two checkpoints under one name the last announced counts: the list comes oldest first."""
        if entries != self._announced:
            refused = self._catalogue.announce(entries)
            self._announced = None if refused else entries  # their names may be moved to this node's importer
            self._on_new()
