"""Instances that are started, or stay, before anybody waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from quickthaw.types import InvocationState, Version
from quickthaw_platform.averages import Average
from quickthaw_platform.contracts import IdleHistory, InstanceState, Keep, Way
from quickthaw_platform.controller.clock import redis_time
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.history import MAX_KEPT, KeepTimes
from quickthaw_platform.controller.keep_alive import retire_idle
from quickthaw_platform.controller.policies.histogram import HistogramKeepAlive
from quickthaw_platform.controller.scaling.samples import Samples
from quickthaw_platform.controller.wanted import keep_wanted
from quickthaw_platform.router.estimator import UNKNOWN_START_SECONDS
from quickthaw_platform.router.learnt import init_field, learnt_key
from quickthaw_platform.router.policies.least_loaded import LeastLoadedPolicy
from quickthaw_platform.router.view import read_view
from quickthaw_platform.settings import Settings
from tests.recording import RecordingCommands
from tests.state import MEMORY_BYTES, announce_node, make_invocation, make_version, start_instance

if TYPE_CHECKING:
    from tests.unit.controller.conftest import KnownVersions


@pytest.fixture(autouse=True)
def node(redis: Redis) -> None:
    announce_node(redis)


def small_version(identity: str = "v1", **spec: Any) -> Version:
    return make_version(identity, memory=MEMORY_BYTES, **spec)


def past(redis: Redis, version: Version, *, gaps: list[float], idle_seconds: float | None = None) -> None:
    """Write what the scripts write of a function's calls; `gaps` the latest last."""
    gaps_key, idle_key = f"qt:function.gaps:{version.function}", f"qt:function.idle_since:{version.function}"
    redis.delete(gaps_key, idle_key)
    if gaps:
        redis.lpush(gaps_key, *gaps)
    if idle_seconds is not None:
        redis.set(idle_key, f"{redis_time(redis) - idle_seconds:.6f}")


class RecordingPolicy:
    """Keeps for as many seconds as there were questions, and records them."""

    def __init__(self) -> None:
        self.asked: list[IdleHistory] = []

    def keep(self, history: IdleHistory) -> Keep:
        self.asked.append(history)
        return Keep(float(len(self.asked)))


class TestKeepTimes:
    def test_the_policy_is_asked_with_the_function_s_past(self, redis: Redis) -> None:
        version = small_version(keep_alive=7)
        past(redis, version, gaps=[1.0, 2.0, 3.0])
        redis.hset(learnt_key("f"), init_field(Way.DISK), Average.of(9.0).to_text())
        redis.hset(learnt_key("f"), init_field(Way.DRAM), Average.of(0.5).to_text())
        policy = RecordingPolicy()
        assert KeepTimes(redis, policy).of([version]) == {"v1": Keep(1.0)}
        [asked] = policy.asked
        assert (asked.keep_alive_seconds, asked.gaps) == (7.0, (1.0, 2.0, 3.0))
        assert asked.start_seconds == pytest.approx(0.5)

    def test_of_a_function_without_a_past_little_is_known(self, redis: Redis) -> None:
        policy = RecordingPolicy()
        KeepTimes(redis, policy).of([small_version()])
        assert policy.asked == [IdleHistory(60.0, (), UNKNOWN_START_SECONDS)]

    def test_while_nobody_calls_it_is_asked_once(self, redis: Redis) -> None:
        policy, version = RecordingPolicy(), small_version()
        times = KeepTimes(redis, policy)
        past(redis, version, gaps=[1.0], idle_seconds=5)
        assert times.of([version]) == times.of([version]) == {"v1": Keep(1.0)}
        past(redis, version, gaps=[1.0, 5.0], idle_seconds=2)
        assert times.of([version]) == {"v1": Keep(2.0)}
        assert times.of([small_version(keep_alive=1)]) == {"v1": Keep(3.0)}  # deployed anew
        past(redis, version, gaps=[1.0, 5.0])  # somebody calls
        assert times.of([version]) != times.of([version])

    def test_answers_are_not_held_without_bound(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("quickthaw_platform.controller.history.MAX_KEPT", 1)
        policy, version = RecordingPolicy(), small_version()
        past(redis, version, gaps=[], idle_seconds=5)
        times = KeepTimes(redis, policy)
        times.of([version, small_version("v2")])
        times.of([version])
        assert len(policy.asked) == 3 < MAX_KEPT

    def test_no_versions_no_answers(self, redis: Redis) -> None:
        assert KeepTimes(redis, RecordingPolicy()).of([]) == {}


class TestSamples:
    def test_only_versions_with_an_instance_or_a_queue_are_sampled(self, redis: Redis, context: Context) -> None:
        one, two, three = (small_version(v, name=v) for v in ("v1", "v2", "v3"))
        start_instance(redis, one)
        context.store.admit(make_invocation(one))
        for _ in range(3):
            context.store.admit(make_invocation(two))
        samples = Samples(redis, 1.0)
        samples.take(read_view(redis), [one, two, three])
        found = samples.read(["v1", "v2", "v3"])
        assert [s.concurrency for s in found["v1"]] == [1]
        assert [s.concurrency for s in found["v2"]] == [3]
        assert found["v3"] == []

    def test_one_whose_calls_were_lost_with_their_instance_is_found_idle(self, redis: Redis, context: Context) -> None:
        version = small_version()
        start_instance(redis, version, "i1")
        context.store.admit(make_invocation(version))
        samples = Samples(redis, 1.0)
        samples.take(read_view(redis), [version])
        [lease] = context.slots.remove("i1")
        context.store.finish(lease.invocation, lease.epoch, InvocationState.FAILED, error={"type": "node_lost"})
        for _ in range(2):
            samples.take(read_view(redis), [version])
        assert [s.concurrency for s in samples.read(["v1"])["v1"]] == [1, 0]

    def test_another_controller_goes_on_with_them(self, redis: Redis) -> None:
        version = small_version()
        start_instance(redis, version)
        for _ in range(2):
            Samples(redis, 1.0).take(read_view(redis), [version])
        assert len(Samples(redis, 1.0).read(["v1"])["v1"]) == 2

    def test_they_hold_one_stable_window_and_go_with_it(self, redis: Redis) -> None:
        version = small_version()
        start_instance(redis, version)
        for _ in range(5):
            Samples(redis, 30.0).take(read_view(redis), [version])
        assert len(Samples(redis, 30.0).read(["v1"])["v1"]) == 3
        assert 0 < redis.pttl("qt:version.samples:v1") <= 60_000


def sampled(redis: Redis, version: Version, *samples: tuple[float, int, int]) -> None:
    """Write samples: seconds ago, concurrency, instances asked for in panic (0: none)."""
    now = redis_time(redis)
    redis.rpush(
        f"qt:version.samples:{version.id}",
        *(f"{now - ago:.3f} {load} {panic} {int(panic > 0)}" for ago, load, panic in samples),
    )


class TestScaling:
    def test_instances_are_started_ahead_of_a_rising_load(
        self, redis: Redis, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        version = versions.add(small_version(concurrency=4, max_instances=9, target_utilisation=0.5))
        start_instance(redis, version)
        for _ in range(4):
            context.store.admit(make_invocation(version))
        sampled(redis, version, (60, 4, 0))
        keep_wanted(context)
        assert len(commands.take("start")) == 1  # 4 / (4 * 0.5) = 2
        keep_wanted(context)
        assert commands.take("start") == []

    def test_when_more_are_wanted_than_were_tried_for_they_are_started_at_once(
        self, redis: Redis, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        version = versions.add(small_version(concurrency=4, max_instances=9))
        start_instance(redis, version)
        context.store.admit(make_invocation(version))
        for panic, started in ((2, 1), (5, 3)):
            sampled(redis, version, (1, 4, panic))
            keep_wanted(context)
            assert len(commands.take("start")) == started

    def test_what_waits_without_an_instance_is_the_allocation_policys_to_decide(
        self, redis: Redis, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        version = versions.add(small_version(max_instances=9))
        context.store.admit(make_invocation(version))
        sampled(redis, version, (30, 8, 0))
        keep_wanted(context)
        assert commands.take("start") == []

    def test_idle_ones_stay_while_the_load_asks_for_them(
        self, redis: Redis, context: Context, versions: KnownVersions
    ) -> None:
        version = versions.add(small_version(keep_alive=0, max_instances=9))
        for name in ("a", "b", "c"):
            start_instance(redis, version, name)
        context.store.admit(make_invocation(version))
        sampled(redis, version, (30, 1, 2), (0, 1, 0))
        retire_idle(context)
        assert len([i for i in context.slots.instances() if i.state is InstanceState.READY]) == 2

    def test_one_that_nobody_calls_goes_by_its_keep_alive(
        self, redis: Redis, context: Context, versions: KnownVersions
    ) -> None:
        version = versions.add(small_version(keep_alive=0))
        start_instance(redis, version)
        sampled(redis, version, (30, 8, 2), (0, 0, 0))
        retire_idle(context)
        assert [i.state for i in context.slots.instances()] == [InstanceState.DRAINING]


class TestPrewarming:
    """Calls come every 100 s and a start takes 1 s: one instance is wanted from 89 to 110 s after the last."""

    @pytest.fixture
    def context(
        self, redis: Redis, platform_settings: Settings, commands: RecordingCommands, versions: KnownVersions
    ) -> Context:
        return Context.make(redis, platform_settings, commands, versions, LeastLoadedPolicy(), HistogramKeepAlive())

    @pytest.mark.parametrize(
        ("idle_seconds", "started"),
        [
            (80, 0),  # too early
            (95, 1),
            (120, 0),  # it did not come
            (None, 0),  # it is called, or never was
        ],
    )
    def test_one_is_started_shortly_before_the_next_call_is_due(
        self,
        redis: Redis,
        context: Context,
        commands: RecordingCommands,
        versions: KnownVersions,
        idle_seconds: float | None,
        started: int,
    ) -> None:
        past(redis, versions.add(small_version()), gaps=[100.0] * 20, idle_seconds=idle_seconds)
        keep_wanted(context)
        keep_wanted(context)
        assert len(commands.take("start")) == started

    @pytest.mark.parametrize(
        ("idle_seconds", "there"),
        [
            (5, False),  # it goes at once
            (95, True),  # its own idleness does not count
            (120, False),
        ],
    )
    def test_it_stays_while_the_next_call_is_expected(
        self, redis: Redis, context: Context, versions: KnownVersions, idle_seconds: float, there: bool
    ) -> None:
        version = versions.add(small_version())
        start_instance(redis, version)
        past(redis, version, gaps=[100.0] * 20, idle_seconds=idle_seconds)
        retire_idle(context)
        assert any(i.state is InstanceState.READY for i in context.slots.instances()) is there

    def test_a_version_that_no_alias_names_is_not_started(
        self, redis: Redis, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        past(redis, versions.add(small_version(), pointed=False), gaps=[100.0] * 20, idle_seconds=95)
        keep_wanted(context)
        assert commands.take() == []
