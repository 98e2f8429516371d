"""What must hold after every step."""

from __future__ import annotations

import json
from typing import cast

from hypothesis.stateful import invariant

from quickthaw.types import Event, InvocationInfo
from quickthaw_platform.contracts import InstanceView
from tests.unit.invocations.interleaved.state import CONCURRENCY, NODE_BYTES, QUEUE, WEIGHTS, PlatformState


class Invariants(PlatformState):
    """The records, the queue, the leases, the logs and the free memory agree with one another."""

    @invariant()
    def everything_is_in_order(self) -> None:
        views = self.slots.instances()
        self.no_more_leases_than_slots(views)
        assert 0 <= self.free_bytes() <= NODE_BYTES
        queue = self.members(QUEUE)
        for key in WEIGHTS:
            mine = [identity for identity in queue if self.keys[identity] == key]
            assert mine == sorted(mine, key=self.ids.index)  # each key's by arrival
        assert len(queue) == len(set(queue))
        leases = {lease.invocation: view.id for view in views for lease in self.slots.leases(view.id)}
        active, deadlines = self.members("qt:active"), self.members("qt:deadlines")
        for identity in self.ids:
            info, log = self.store.get(identity), self.log(identity)
            owned = info.state in ("assigned", "running")
            orphaned = info.instance not in {view.id for view in views}
            assert (identity in queue) == (info.state == "queued")
            assert (identity in active) == owned
            assert (identity in deadlines) == (not info.state.ended)
            assert leases.get(identity) == (info.instance if owned and not orphaned else None)
            self.log_has_no_gap_and_one_end(info, log)
            self.an_end_is_final_and_leaves_in_time(info)
            assert info.state != "assigned" or (identity, str(info.epoch), info.instance) in self.told()
        self.a_removed_instance_leaves_nothing()
        self.newcomers_find_every_free_slot(views)
        self.traffic_is_what_has_not_ended()

    def told(self) -> set[tuple[str, str, str]]:
        """Return all calls that the node was told of; nobody takes them from its list here."""
        return {tuple(json.loads(call)) for call in self.redis.lrange("qt:node.calls:n1", 0, -1)}

    def no_more_leases_than_slots(self, views: list[InstanceView]) -> None:
        for view in views:
            assert view.in_use <= CONCURRENCY

    def newcomers_find_every_free_slot(self, views: list[InstanceView]) -> None:
        ready = {v.id: v.concurrency - v.in_use for v in views if v.version == "v1" and v.state == "ready"}
        open_ones = cast("list[tuple[str, float]]", self.redis.zrange("qt:version.open:v1", 0, -1, withscores=True))
        assert dict(open_ones) == {instance: free for instance, free in ready.items() if free}

    def traffic_is_what_has_not_ended(self) -> None:
        live = {identity for identity in self.ids if identity not in self.ended}
        assert self.redis.smembers("qt:function.live:f") == live
        assert bool(self.redis.exists("qt:function.idle_since:f")) == bool(self.ids and not live)
        assert live or not self.redis.exists("qt:version.fair:v1")

    def log_has_no_gap_and_one_end(self, info: InvocationInfo, log: list[Event]) -> None:
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert [event.ends for event in log] == [False] * (len(log) - 1) + [info.state.ended]

    def an_end_is_final_and_leaves_in_time(self, info: InvocationInfo) -> None:
        if info.state.ended:
            assert self.ended.setdefault(info.id, info) == info
            assert self.redis.pttl(f"qt:inv:{info.id}") > 0
            assert self.redis.pttl(f"qt:inv.log:{info.id}") > 0

    def a_removed_instance_leaves_nothing(self) -> None:
        alive = self.redis.smembers("qt:instances")
        gone = [name for name in self.instances if name not in alive]
        keys = [key for name in gone for key in (f"qt:instance:{name}", f"qt:instance.leases:{name}")]
        assert not keys or not self.redis.exists(*keys)
