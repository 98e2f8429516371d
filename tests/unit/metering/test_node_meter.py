"""The meters of a node: what Redis did not confirm is written again, and each invocation counts where it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from redis import Redis

from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.log import inv_key
from quickthaw_platform.metering.usage.device_meter import Tokens
from quickthaw_platform.metering.usage.endings import Endings, Served
from quickthaw_platform.metering.usage.node_meter import KEPT_SECONDS, Birth, InstanceMeter, NodeMeter
from quickthaw_platform.metering.usage.records import Subject, UsageRecord

SUBJECT = Subject("f", "v1", "serverless", "n1", "cpu", 100)
PERIOD = 60.0
REDIS_BEGAN = 600_000.0  # what Redis' clock says when the agent's says 0


class FakeStore:
    """Keeps the last record of each field, as Redis does; its clock runs with the agent's unless it is set."""

    def __init__(self, clock: FakeClock) -> None:
        self.kept: dict[tuple[str, int], UsageRecord] = {}
        self.written = 0
        self.out = False
        self.offset = REDIS_BEGAN
        self._clock = clock

    def write(self, records: dict[tuple[str, int], UsageRecord]) -> float:
        if self.out:
            raise Unavailable("no Redis")
        self.written += len(records)
        self.kept |= records
        return self._clock() + self.offset

    @property
    def seconds(self) -> float:
        return math.fsum(s for record in self.kept.values() for s in record.seconds.values())

    @property
    def requests(self) -> int:
        return sum(sum(record.requests.values()) for record in self.kept.values())


class FakeEndings:
    """Answers as it is told; unknown ones have not ended."""

    def __init__(self) -> None:
        self.known: dict[str, bool] = {}

    def ended(self, served: Sequence[Served]) -> list[bool | None]:
        return [self.known.get(each.invocation) for each in served]


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> FakeStore:
    return FakeStore(clock)


@pytest.fixture
def endings() -> FakeEndings:
    return FakeEndings()


@pytest.fixture
def node(store: FakeStore, endings: FakeEndings, clock: FakeClock) -> NodeMeter:
    node = NodeMeter(store, endings, PERIOD, clock)  # type: ignore[arg-type]  # what it uses of them
    node.flush()
    return node


def begin(node: NodeMeter, name: str = "i", began: float = 0.0) -> InstanceMeter:
    return node.begin(name, SUBJECT, Birth(began, began, REDIS_BEGAN + began))


def test_an_open_record_grows_and_is_final_when_its_period_is_over(
    node: NodeMeter, store: FakeStore, clock: FakeClock
) -> None:
    meter = begin(node)
    meter.loaded()
    for clock.now in (10.0, 50.0):
        node.flush()
        assert [(r.final, sum(r.seconds.values())) for r in store.kept.values()] == [(False, clock.now)]
    clock.now = 70.0
    node.flush()
    first, second = store.kept.values()
    assert (first.final, first.start, sum(first.seconds.values())) == (True, REDIS_BEGAN, PERIOD)
    assert (second.final, second.start, sum(second.seconds.values())) == (False, REDIS_BEGAN + PERIOD, 10.0)


def test_what_is_final_is_written_for_a_while_and_then_forgotten(
    node: NodeMeter, store: FakeStore, clock: FakeClock
) -> None:
    meter = begin(node)
    clock.now = 5.0
    meter.end()
    node.flush()
    clock.now += KEPT_SECONDS
    node.flush()
    before = store.written
    clock.now += 1
    node.flush()
    assert (store.written, store.seconds) == (before, 5.0)


def test_an_instance_that_is_started_twice_writes_over_nothing(
    node: NodeMeter, store: FakeStore, clock: FakeClock
) -> None:
    for clock.now in (1.0, 2.0):
        begin(node, began=clock.now - 1).end()
        node.flush()
    assert store.seconds == 2.0


def test_an_outage_is_made_good_when_it_is_over(node: NodeMeter, store: FakeStore, clock: FakeClock) -> None:
    meter = begin(node)
    store.out = True
    for clock.now in range(1, 400, 7):
        with pytest.raises(Unavailable):
            node.flush()
    meter.end()
    with pytest.raises(Unavailable):
        node.flush()
    store.out = False
    node.flush()
    assert store.seconds == clock.now
    assert len(store.kept) == math.ceil(clock.now / PERIOD)


@pytest.mark.parametrize("step", [-86_400.0, -30.0, 30.0, 86_400.0, 1e9])
def test_a_clock_that_is_set_loses_and_doubles_nothing(
    node: NodeMeter, store: FakeStore, clock: FakeClock, step: float
) -> None:
    meter = begin(node)
    for clock.now in (10.0, 20.0, 30.0, 100.0, 130.0, 200.0):
        node.flush()
        if clock.now == 30.0:
            store.offset += step
    meter.end()
    node.flush()
    assert store.seconds == 200.0
    starts = [record.start for record in store.kept.values()]
    assert starts == sorted(set(starts))


def test_an_instance_that_comes_before_the_first_heartbeat_is_metered(
    store: FakeStore, endings: FakeEndings, clock: FakeClock
) -> None:
    node = NodeMeter(store, endings, PERIOD, clock)  # type: ignore[arg-type]  # what it uses of them
    meter = begin(node, began=-3.0)
    meter.end()
    node.flush()
    assert store.seconds == 3.0


def test_an_invocation_counts_once_it_has_ended_here(node: NodeMeter, store: FakeStore, endings: FakeEndings) -> None:
    meter = begin(node)
    for name in ("here", "moved", "open"):
        meter.came(name, "k")
        meter.served(name, 1, "k", Tokens(3, 4))
    endings.known |= {"here": True, "moved": False}
    node.flush()
    assert store.requests == 1
    endings.known["open"] = True
    node.flush()
    node.flush()
    assert store.requests == 2
    assert next(iter(store.kept.values())).tokens == {"k": Tokens(6, 8)}


def test_an_ended_instance_waits_for_what_its_last_invocation_comes_to(
    node: NodeMeter, store: FakeStore, endings: FakeEndings, clock: FakeClock
) -> None:
    meter = begin(node)
    meter.came("late", "k")
    meter.end()
    meter.served("late", 1, "k", Tokens(1, 1))
    for clock.now in (1.0, 60.0, 120.0):
        node.flush()
        assert not any(record.final for record in store.kept.values())
    endings.known["late"] = True
    node.flush()
    assert store.requests == 1
    assert all(record.final for record in store.kept.values())


def test_closing_ends_what_is_left_and_does_not_mind_an_outage(
    node: NodeMeter, store: FakeStore, clock: FakeClock
) -> None:
    begin(node)
    clock.now = 4.0
    store.out = True
    node.close()
    store.out = False
    clock.now = 9.0
    node.close()
    assert store.seconds == 4.0


def served(invocation: str, epoch: int) -> Served:
    return Served("i", invocation, epoch, "", Tokens())


def test_redis_says_where_an_invocation_ended(redis: Redis) -> None:
    for name, state, epoch in (("done", "succeeded", 2), ("gone", "cancelled", 1), ("runs", "running", 1)):
        redis.hset(inv_key(name), mapping={"state": state, "epoch": epoch})
    asked = [served("done", 2), served("done", 1), served("gone", 1), served("runs", 1), served("forgotten", 1)]
    assert Endings(redis).ended(asked) == [True, False, True, None, True]
    assert Endings(redis).ended([]) == []
