from __future__ import annotations

import json

import pytest
from redis import Redis

from quickthaw.types import Isolation
from quickthaw_platform.averages import Average
from quickthaw_platform.contracts import TiersView, Way
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.router.view import count_serving, read_view
from quickthaw_platform.settings import Settings
from tests.state import announce_node, make_invocation, make_version, start_instance

VERSION = make_version(concurrency=2, max_instances=4, min_instances=1, weight=2.0)


@pytest.fixture
def store(redis: Redis, platform_settings: Settings) -> InvocationStore:
    announce_node(redis)
    return InvocationStore(redis, platform_settings)


class TestInstances:
    def test_one_that_starts_tells_what_is_still_to_come(self, redis: Redis) -> None:
        announce_node(redis)
        SlotStore(redis).reserve(
            VERSION, "n1", "x1", 5, checkpoint_bytes=77, way="disk", load_seconds=20, estimate_seconds=30
        )
        redis.hincrbyfloat("qt:instance:x1", "created_at", -8)
        [view] = read_view(redis).instances
        assert (view.checkpoint, view.checkpoint_bytes, view.way) == ("c1", 77, Way.DISK)
        assert 11 < view.load_seconds <= 12
        assert 21 < view.start_seconds <= 22
        redis.hincrbyfloat("qt:instance:x1", "created_at", -15)
        [view] = read_view(redis).instances
        assert view.load_seconds == 0
        assert 6 < view.start_seconds <= 7

    def test_one_of_unknown_duration_or_that_serves_has_nothing_to_come(self, redis: Redis) -> None:
        announce_node(redis)
        slots = SlotStore(redis)
        slots.reserve(VERSION, "n1", "x1", 5)
        slots.reserve(VERSION, "n1", "x2", 5, way="dram", load_seconds=20, estimate_seconds=30)
        slots.loaded("x2")
        views = read_view(redis).instances
        assert [(view.way, view.load_seconds, view.start_seconds) for view in views] == [(None, 0, 0), (Way.DRAM, 0, 0)]


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [
        ("qt:node:n2", "state", "paused"),
        ("qt:node:n2", "checkpoints", "c1 c2"),
        ("qt:instance:x1", "state", "parked"),
        ("qt:instance:x1", "way", "peer"),
    ],
)
def test_what_another_release_has_recorded_keeps_no_instance_from_starting(
    redis: Redis, key: str, name: str, value: str
) -> None:
    announce_node(redis, "n1")
    announce_node(redis, "n2")
    start_instance(redis, VERSION, "x1", "n2")
    redis.hset(key, name, value)
    view = read_view(redis)
    assert SlotStore(redis).reserve(VERSION, "n1", "x2", 5, serving=count_serving(view, VERSION.id))


class TestNodes:
    def test_the_versions_it_has_primed_are_read_and_none_is_none(self, redis: Redis) -> None:
        announce_node(redis, "n1", primed=json.dumps(["v1"]))
        announce_node(redis, "n2")
        assert [node.primed for node in read_view(redis).nodes] == [frozenset({"v1"}), frozenset()]

    def test_the_versions_that_sleep_there_are_read_and_none_is_none(self, redis: Redis) -> None:
        announce_node(redis, "n1", asleep=json.dumps(["v1"]))
        announce_node(redis, "n2")
        assert [node.asleep for node in read_view(redis).nodes] == [frozenset({"v1"}), frozenset()]

    def test_how_instances_are_isolated_is_read_and_what_is_not_known_is_none(self, redis: Redis) -> None:
        announce_node(redis, "n1", isolation="strict")
        announce_node(redis, "n2", isolation="iron")
        announce_node(redis, "n3")
        found = [node.isolation for node in read_view(redis).nodes]
        assert found == [Isolation.STRICT, Isolation.NONE, Isolation.NONE]

    def test_labels_are_read_and_none_is_none(self, redis: Redis) -> None:
        announce_node(redis, "n1", labels=json.dumps({"zone": "a"}))
        announce_node(redis, "n2")
        assert [node.labels for node in read_view(redis).nodes] == [{"zone": "a"}, {}]

    @pytest.mark.parametrize(
        ("rate", "kept"),
        [
            (5e8, True),
            (1e3, True),
            (999.0, False),  # nothing reads so slowly
            (1e13, False),  # nor so fast
            (0.0, False),
            (-5e8, False),
            (float("nan"), False),
            (float("inf"), False),
        ],
    )
    def test_absurd_bandwidths_count_as_not_measured(self, redis: Redis, rate: float, kept: bool) -> None:
        announce_node(redis, tiers=json.dumps({"bandwidths": {"disk": rate, "dram": 1e10}, "dram_bytes": 9}))
        [node] = read_view(redis).nodes
        assert node.tiers.bandwidths == ({"disk": rate} if kept else {}) | {"dram": 1e10}
        assert node.tiers.dram_bytes == 9

    @pytest.mark.parametrize(
        "broken", ["{", "[]", "7", '{"bandwidths": {"disk": "fast"}}', '{"dram": 7}', '{"arriving": [1]}']
    )
    def test_a_node_with_broken_tiers_hides_no_other(self, redis: Redis, broken: str) -> None:
        announce_node(redis, "n1", tiers=broken, labels=broken)
        announce_node(redis, "n2", tiers=json.dumps({"dram": ["c1"]}))
        first, second = read_view(redis).nodes
        assert first.tiers == TiersView()
        assert second.tiers.dram == {"c1"}

    def test_nodes_that_see_the_same_store_share_what_is_there(self, redis: Redis) -> None:
        redis.sadd("qt:remote:r1", "c1", "c2")
        announce_node(redis, "n1", remote="r1")
        announce_node(redis, "n2", remote="r1")
        announce_node(redis, "n3", remote="")
        first, second, third = (node.tiers.remote for node in read_view(redis).nodes)
        assert first == {"c1", "c2"}
        assert first is second
        assert third == frozenset()


class TestFunctions:
    def test_what_was_learnt_of_those_in_play_is_told(self, redis: Redis, store: InvocationStore) -> None:
        learnt = {"init.disk": Average.of(3.0).to_text(), "service": Average.of(0.5).to_text()}
        redis.hset("qt:function.learnt:f", mapping=learnt)  # type: ignore[arg-type]
        start_instance(redis, VERSION)
        store.admit(make_invocation(make_version("w1", name="g")))
        view = read_view(redis, "h")
        assert set(view.functions) == {"f", "g", "h"}
        stats = view.functions["f"]
        assert stats.init_seconds == {Way.DISK: pytest.approx(3.0)}
        assert stats.service_seconds == pytest.approx(0.5)
        assert stats.weight == 2.0
        assert [(i.min_instances, i.dedicated) for i in view.instances] == [(1, False)]
        assert view.functions["g"].service_seconds is None
        assert set(read_view(redis).functions) == {"f", "g"}

    def test_a_broken_record_of_what_was_learnt_hides_nothing_else(self, redis: Redis) -> None:
        redis.hset("qt:function.learnt:f", mapping={"service": "soon", "init.dram": Average.of(2.0).to_text()})
        stats = read_view(redis, "f").functions["f"]
        assert stats.service_seconds is None
        assert stats.init_seconds == {Way.DRAM: pytest.approx(2.0)}

    def test_calls_are_counted_from_the_oldest_on(self, redis: Redis) -> None:
        seconds, _ = redis.time()
        redis.rpush("qt:function.calls:f", *(str(seconds - age) for age in (10, 20, 30, 40)))
        stats = read_view(redis, "f").functions["f"]
        assert stats.calls_per_second == pytest.approx(0.1, rel=0.1)
        assert read_view(redis, "never").functions["never"].calls_per_second == 0


def test_who_waits_is_counted_and_how_long_the_first_has(redis: Redis, store: InvocationStore) -> None:
    for identity in ("a", "b"):
        store.admit(make_invocation(VERSION, identity))
    redis.hincrbyfloat("qt:inv:a", "created_at", -9)
    view = read_view(redis)
    assert view.waiting == {"v1": 2}
    assert 9 <= view.waited["v1"] < 12
