"""Moves in whatever order their steps come, with owners that die and that wake up late, on a real Valkey."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from quickthaw.generation import Delta
from quickthaw.types import InvocationInfo, InvocationState
from quickthaw_platform.errors import Conflict, InstanceLost
from quickthaw_platform.invocations.records import Append, Chunk, History, Lease, Lost, Offer, Record
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import NOT_OFFERED, NOTHING, InvocationStore
from quickthaw_platform.invocations.watch import Watch
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.replay import Mark
from tests.made_up import examples
from tests.state import announce_node, make_invocation, make_limits, make_version, rewind, start_instance, take_calls

NODES = ("n0", "n1", "n2")
CONCURRENCY = 2
MOST_INVOCATIONS = 10
FAR_SECONDS = 50_000.0
LOST = InstanceLost("the process died")

picks = st.integers(0, 1000)  # which of the known things, modulo their number


def token_of(invocation: str, number: int) -> int:
    """The sequence that an invocation's model says, whoever runs it."""
    return 1000 * int(invocation[1:]) + number


@dataclass
class Owner:
    """What a process believes that runs an invocation; it may not own it any more."""

    invocation: str
    epoch: int
    instance: str
    next_seq: int
    next_record: int
    said: int

    def next_append(self, *, beside: bool) -> Append:
        """Say the next token, in a chunk or beside the log."""
        mark = str(Mark(0, self.said))
        delta = Delta(text="t", tokens=(token_of(self.invocation, self.said),)).to_json()
        chunks = () if beside else (Chunk.of({"delta": delta}, mark),)
        records = (Record.of(mark, delta),) if beside else ()
        return Append(self.invocation, self.epoch, self.next_seq, chunks, self.next_record, records)


@dataclass
class Taker:
    """A destination on its way, with the history that it has computed."""

    offer: Offer
    known: History = NOTHING


def tokens_of(history: History) -> list[int]:
    return [token for _, delta in history.records for token in delta["tokens"]]


class Moves(RuleBasedStateMachine):
    """Nodes, the controller and callers, each step possibly late, repeated, or followed by a death."""

    redis: Redis
    settings: Settings

    @initialize()
    def set_up(self) -> None:
        self.redis.flushall()
        self.version = make_version(concurrency=CONCURRENCY, max_instances=100, limits=make_limits())
        patient = self.settings.model_copy(update={"max_attempts": 1000})
        self.store, self.slots = InvocationStore(self.redis, patient), SlotStore(self.redis)
        self.watch = Watch(self.redis)
        self.ids: list[str] = []
        self.instances: list[str] = []
        self.owners: list[Owner] = []  # and those that were
        self.takers: list[Taker] = []  # and those that were
        self.unsettled: list[tuple[Lease, str]] = []  # leases of removed instances that nobody has settled, some twice
        self.pending: dict[str, Offer] = {}
        self.left: dict[str, Offer] = {}  # lost while they moved: owned by who has not taken them yet
        self.writers: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        for node in NODES:
            announce_node(self.redis, node)
            self.start(node)
        for _ in range(3):
            self.admit_and_begin()

    @rule(node=st.sampled_from(NODES))
    @precondition(lambda self: len(self.alive()) < len(NODES))
    def start(self, node: str) -> None:
        self.instances.append(start_instance(self.redis, self.version, f"x{len(self.instances)}", node))

    @rule()
    @precondition(lambda self: len(self.ids) < MOST_INVOCATIONS)
    def admit_and_begin(self) -> None:
        self.admit()
        if self.assigned():
            self.begin(0)

    @rule(pick=picks)
    @precondition(lambda self: self.assigned())
    def begin(self, pick: int) -> None:
        info = self.assigned()[pick % len(self.assigned())]
        seq = self.store.begin(info.id, info.epoch, info.node or "", info.instance or "")
        self.own(info.id, info.epoch, info.instance or "", seq, self.store.history(info.id))

    @rule(pick=picks)
    @precondition(lambda self: self.alive() and self.members("qt:version.queue:v1"))
    def claim(self, pick: int) -> None:
        self.store.claim(self.instance(pick))

    @rule(pick=picks, beside=st.booleans(), repeated=st.booleans())
    @precondition(lambda self: self.owners)
    def say(self, pick: int, beside: bool, repeated: bool) -> None:
        owner = self.owners[pick % len(self.owners)]
        owns = self.owns(owner)
        append = owner.next_append(beside=beside)
        answers = [self.store.append_each([append]) for _ in range(2 if repeated else 1)]
        assert answers == [[owns]] * len(answers)
        if owns:
            self.writers[owner.invocation, owner.epoch].add(owner.instance)
            owner.said += 1
            owner.next_seq += len(append.chunks)
            owner.next_record += len(append.records)

    @rule(pick=picks)
    @precondition(lambda self: self.owners)
    def finish(self, pick: int) -> None:
        owner = self.owners[pick % len(self.owners)]
        owns, before = self.owns(owner), self.store.get(owner.invocation)
        done = self.store.finish(owner.invocation, owner.epoch, InvocationState.SUCCEEDED, seq=owner.next_seq)
        repeats = before.state is InvocationState.SUCCEEDED and before.epoch == owner.epoch
        assert done.done == (owns or repeats)
        if owns:
            self.forget(owner.invocation)

    @rule(pick=picks, to=picks)
    @precondition(lambda self: self.running() and self.alive())
    def offer_to_any(self, pick: int, to: int) -> None:
        self.offer(self.running()[pick % len(self.running())], self.instance(to))

    @rule(pick=picks, to=picks)
    @precondition(lambda self: self.movable())
    def offer_elsewhere(self, pick: int, to: int) -> None:
        info = self.movable()[pick % len(self.movable())]
        others = [view.id for view in self.slots.instances() if view.node != info.node]
        self.offer(info, others[to % len(others)])

    def offer(self, info: InvocationInfo, to: str) -> None:
        instance = self.slots.get(to)
        assert instance is not None
        allowed = (
            info.id not in {*self.pending, *self.left}
            and instance.node != info.node
            and instance.state == "ready"
            and instance.in_use < CONCURRENCY
        )
        try:
            offer = self.store.offer(info.id, instance.id, FAR_SECONDS / 2)
        except Conflict:
            assert not allowed
            return
        assert allowed
        assert offer.epoch > max([info.epoch, *(t.offer.epoch for t in self.takers if t.offer.invocation == info.id)])
        self.pending[info.id] = offer
        self.takers.append(Taker(offer))

    @rule(pick=picks)
    @precondition(lambda self: self.takers)
    def learn(self, pick: int) -> None:
        taker = self.taker(pick)
        taker.known = taker.known + self.store.history(taker.offer.invocation, taker.known)

    @rule(pick=picks, repeated=st.booleans())
    @precondition(lambda self: self.takers)
    def accept_any(self, pick: int, repeated: bool) -> None:
        self.accept(self.taker(pick), repeated=repeated)

    @rule(pick=picks, repeated=st.booleans())
    @precondition(lambda self: self.pending or self.left)
    def accept_what_is_offered(self, pick: int, repeated: bool) -> None:
        offers = [*self.pending.values(), *self.left.values()]
        offer = offers[pick % len(offers)]
        self.accept(next(taker for taker in self.takers if taker.offer == offer), repeated=repeated)

    def accept(self, taker: Taker, *, repeated: bool) -> None:
        offer = taker.offer
        info = self.store.get(offer.invocation)
        is_offered = self.pending.get(offer.invocation) == offer and offer.instance in self.alive()
        has_it = (info.state, info.epoch) == (InvocationState.RUNNING, offer.epoch)
        accepted = self.store.accept(offer, taker.known)
        assert (accepted is not None) == (is_offered or has_it)
        if accepted is None:
            return
        if repeated:
            again = self.store.accept(offer, taker.known)
            assert again is not None
            assert (again.next_seq, again.history, again.left) == (
                accepted.next_seq, accepted.history, accepted.left,
            )  # fmt: skip
        self.left.pop(offer.invocation, None)
        if is_offered:
            del self.pending[offer.invocation]
            assert accepted.left == info.node
        self.own(offer.invocation, offer.epoch, offer.instance, accepted.next_seq, taker.known + accepted.history)

    @rule(pick=picks)
    @precondition(lambda self: self.takers)
    def decline(self, pick: int) -> None:
        offer = self.taker(pick).offer
        self.store.decline(offer, "it broke")
        if self.pending.get(offer.invocation) == offer:
            del self.pending[offer.invocation]

    @rule(pick=picks)
    @precondition(lambda self: self.takers)
    def give_up(self, pick: int) -> None:
        """As its node does it when a move breaks, not knowing how far that came."""
        self.decline(pick)
        offer = self.taker(pick).offer
        self.settle(Lease(offer.invocation, offer.epoch), offer.instance)

    @rule()
    @precondition(lambda self: self.pending or self.left)
    def run_out_of_patience(self) -> None:
        for identity in self.members("qt:moves"):
            self.redis.zincrby("qt:moves", -FAR_SECONDS, identity)
        before = {identity: self.store.get(identity) for identity in self.left if identity not in self.pending}
        assert set(self.store.end_late_moves()) == {*self.pending, *self.left}
        for identity, info in before.items():
            now = self.store.get(identity)
            assert now.state is InvocationState.QUEUED
            assert now.epoch > info.epoch
        self.pending.clear()
        self.left.clear()

    @rule(pick=picks, settled=st.booleans())
    @precondition(lambda self: self.alive())
    def lose_process_of_any(self, pick: int, settled: bool) -> None:
        self.lose_process(self.instance(pick), settled=settled)

    @rule(pick=picks, source=st.booleans(), settled=st.booleans())
    @precondition(lambda self: self.pending)
    def lose_process_of_what_moves(self, pick: int, source: bool, settled: bool) -> None:
        offer = list(self.pending.values())[pick % len(self.pending)]
        side = self.store.get(offer.invocation).instance or "" if source else offer.instance
        if side in self.alive():
            self.lose_process(side, settled=settled)

    def lose_process(self, name: str, *, settled: bool) -> None:
        """Its agent forgets the instance, and settles what that held at once, later, twice or never."""
        leases = [(lease, name) for lease in self.slots.remove(name)]
        self.unsettled += leases
        if settled:
            for lease, instance in leases:
                self.settle(lease, instance)

    @rule(pick=picks)
    @precondition(lambda self: self.unsettled)
    def settle_late(self, pick: int) -> None:
        self.settle(*self.unsettled[pick % len(self.unsettled)])

    @rule(pick=picks, cut_off=st.booleans())
    @precondition(lambda self: self.alive())
    def bury(self, pick: int, cut_off: bool) -> None:
        """As the controller does it with the instances of a dead node: their records go last, unless it dies before."""
        name = self.instance(pick)
        self.slots.drain(name)
        for lease in self.slots.leases(name):
            self.settle(lease, name)
        if not cut_off:
            self.slots.remove(name)

    @rule()
    @precondition(lambda self: self.unsettled)
    def sweep(self) -> None:
        for identity in self.members("qt:active"):
            self.redis.zincrby("qt:active", -FAR_SECONDS, identity)
        for lease in self.watch.orphans():
            self.settle(lease, self.store.get(lease.invocation).instance or "")

    @rule()
    @precondition(lambda self: len(self.ids) < MOST_INVOCATIONS)
    def admit(self) -> None:
        self.ids.append(f"i{len(self.ids)}")
        self.store.admit(make_invocation(self.version, self.ids[-1]))

    @rule(pick=picks, cancelled=st.booleans())
    @precondition(lambda self: self.members("qt:deadlines"))
    def end_from_outside(self, pick: int, cancelled: bool) -> None:
        open_ones = self.members("qt:deadlines")
        identity = open_ones[pick % len(open_ones)]
        if cancelled:
            assert self.store.cancel(identity, "enough").done
        else:
            self.redis.zincrby("qt:deadlines", -FAR_SECONDS, identity)
            [overdue] = self.watch.overdue()
            assert self.watch.expire(overdue).done
        self.forget(identity)

    @invariant()
    def each_log_is_a_prefix_of_what_its_model_says(self) -> None:
        for info in self.infos():
            log, said = self.store.read(info.id, 0, 0), tokens_of(self.store.history(info.id))
            assert said == [token_of(info.id, number) for number in range(len(said))]
            assert [event.seq for event in log] == list(range(1, len(log) + 1))
            assert [event.ends for event in log] == [False] * (len(log) - 1) + [info.state.ended]

    @invariant()
    def no_epoch_has_two_writers(self) -> None:
        assert all(len(writers) == 1 for writers in self.writers.values())

    @invariant()
    def what_has_a_slot_and_is_not_begun_was_told_to_its_node(self) -> None:
        lists = {node: self.redis.lrange(f"qt:node.calls:{node}", 0, -1) for node in NODES}
        told = {(node, *json.loads(call)) for node, calls in lists.items() for call in calls}
        assigned = {
            (info.node, info.id, str(info.epoch), info.instance)
            for info in self.infos()
            if info.state is InvocationState.ASSIGNED
        }
        assert assigned <= told

    @invariant()
    def the_leases_are_those_of_owners_and_pending_moves(self) -> None:
        alive = self.alive()
        expected = {
            (info.instance, info.id, info.epoch)
            for info in self.infos()
            if info.state in (InvocationState.ASSIGNED, InvocationState.RUNNING) and info.instance in alive
        }
        expected |= {(o.instance, o.invocation, o.epoch) for o in self.pending.values() if o.instance in alive}
        leases = [(name, lease) for name in alive for lease in self.slots.leases(name)]
        assert {(name, lease.invocation, lease.epoch) for name, lease in leases} == expected
        assert len(leases) == len(expected)

    @invariant()
    def no_slot_is_given_twice(self) -> None:
        assert all(view.in_use <= CONCURRENCY for view in self.slots.instances())

    @invariant()
    def what_is_on_its_way_is_known(self) -> None:
        assert set(self.members("qt:moves")) == {*self.pending, *self.left}
        moving = {name for name in self.ids if self.redis.hexists(f"qt:inv:{name}", "moving_to")}
        assert moving == set(self.pending)

    @invariant()
    def what_moves_runs(self) -> None:
        for identity in {*self.pending, *self.left}:
            assert self.store.get(identity).state is InvocationState.RUNNING

    def settle(self, lease: Lease, instance: str) -> None:
        """Whoever did not own it at that epoch is not missed; what was on its way elsewhere goes on there."""
        info, offer = self.store.get(lease.invocation), self.pending.get(lease.invocation)
        outcome = self.store.lose(lease.invocation, lease.epoch, "lost", LOST)
        owned = info.state in (InvocationState.ASSIGNED, InvocationState.RUNNING) and info.epoch == lease.epoch
        if not owned:
            assert outcome is Lost.STALE
            if offer is not None and offer.epoch == lease.epoch:
                assert offer.instance == instance
                del self.pending[lease.invocation]
            assert self.store.get(lease.invocation) == info
            return
        assert info.instance == instance
        self.forget(lease.invocation)
        moves = offer is not None and offer.instance in self.alive()
        assert outcome is (Lost.MOVED if moves else Lost.REQUEUED)
        if offer is not None and moves:
            self.left[lease.invocation] = offer
            assert self.store.get(lease.invocation).instance == offer.instance

    def forget(self, identity: str) -> None:
        self.pending.pop(identity, None)
        self.left.pop(identity, None)

    def own(self, identity: str, epoch: int, instance: str, next_seq: int, history: History) -> None:
        """Whoever becomes the owner knows all that was said."""
        said = tokens_of(history)
        assert said == [token_of(identity, number) for number in range(len(said))]
        assert history.outputs == self.store.history(identity).outputs
        self.owners = [o for o in self.owners if (o.invocation, o.epoch) != (identity, epoch)]
        self.owners.append(Owner(identity, epoch, instance, next_seq, history.position + 1, len(said)))

    def owns(self, owner: Owner) -> bool:
        info = self.store.get(owner.invocation)
        here = (InvocationState.RUNNING, owner.epoch, owner.instance)
        return (info.state, info.epoch, info.instance) == here

    def infos(self) -> list[InvocationInfo]:
        return [self.store.get(identity) for identity in self.ids]

    def assigned(self) -> list[InvocationInfo]:
        return [info for info in self.infos() if info.state is InvocationState.ASSIGNED]

    def running(self) -> list[InvocationInfo]:
        return [info for info in self.infos() if info.state is InvocationState.RUNNING]

    def movable(self) -> list[InvocationInfo]:
        """Those that run while there is an instance on another node."""
        nodes = {view.node for view in self.slots.instances()}
        return [info for info in self.running() if nodes - {info.node}]

    def alive(self) -> list[str]:
        return [view.id for view in self.slots.instances()]

    def instance(self, pick: int) -> str:
        return self.alive()[pick % len(self.alive())]

    def taker(self, pick: int) -> Taker:
        return self.takers[pick % len(self.takers)]

    def members(self, key: str) -> list[str]:
        return cast("list[str]", self.redis.zrange(key, 0, -1))


@pytest.fixture
def machine(redis: Redis, platform_settings: Settings) -> type[Moves]:
    """The machine on this test's Valkey."""
    return type("MovesHere", (Moves,), {"redis": redis, "settings": platform_settings})


@pytest.mark.timeout(400)
def test_an_invocation_that_moves_is_never_doubled_lost_or_torn(machine: type[Moves]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples(25), stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )


SOURCE, DESTINATION = "x1", "x2"
VERSION = make_version(concurrency=1, max_instances=4)


@pytest.fixture
def running(redis: Redis, store: InvocationStore) -> str:
    """The invocation `i`, which has said a token on x1, node n1; x2 on node n2 could take it."""
    announce_node(redis, "n2")
    start_instance(redis, VERSION, SOURCE, "n1")
    store.admit(make_invocation(VERSION, "i"))
    seq = store.begin("i", 1, "n1", SOURCE)
    assert store.append("i", 1, seq, [Chunk.of({"delta": {"text": "t", "tokens": [0]}}, "0.0.")])
    start_instance(redis, VERSION, DESTINATION, "n2")
    return "i"


def test_a_move_gives_the_invocation_a_new_owner_and_its_slot_to_what_waits(
    redis: Redis, store: InvocationStore, running: str
) -> None:
    offer = store.offer(running, DESTINATION, 60)
    store.admit(make_invocation(VERSION, "next"))
    assert store.get("next").state is InvocationState.QUEUED
    accepted = store.accept(offer, NOTHING)
    assert accepted is not None
    assert (accepted.left, accepted.history.tokens) == ("n1", 1)
    assert take_calls(redis, "n1")[-1] == ("next", "1", SOURCE)
    info = store.get(running)
    assert (info.epoch, info.node, info.instance, info.attempts) == (2, "n2", DESTINATION, 1)
    assert not store.append(running, 1, accepted.next_seq, [Chunk.of({"value": "from a zombie"})])
    assert store.append(running, 2, accepted.next_seq, [Chunk.of({"value": "from the owner"})])


def test_its_life_tells_of_the_move_and_of_the_gap(store: InvocationStore, running: str) -> None:
    accepted = store.accept(store.offer(running, DESTINATION, 60), NOTHING)
    assert accepted is not None
    assert store.append(running, 2, accepted.next_seq, [Chunk.of({"value": 1})])
    life = store.life(running)
    assert life.moves == 1
    assert [(step.state.value, step.node, step.moved_from, step.epoch) for step in life.steps] == [
        ("assigned", "n1", None, None), ("running", "n1", None, None), ("running", "n2", "n1", 2),
    ]  # fmt: skip
    assert list(life.gaps) == [2]
    assert 0 <= life.gaps[2] < 60


def test_a_move_that_is_declined_leaves_all_as_it_was_and_the_slot_to_what_waits(
    redis: Redis, store: InvocationStore, running: str
) -> None:
    offer = store.offer(running, DESTINATION, 60)
    store.admit(make_invocation(VERSION, "next"))
    for _ in range(2):
        store.decline(offer, "no memory")
    assert take_calls(redis, "n2") == [("next", "1", DESTINATION)]
    info = store.get(running)
    assert (info.state, info.epoch, info.instance) == (InvocationState.RUNNING, 1, SOURCE)
    assert store.accept(offer, NOTHING) is None
    assert [(move.node, move.reason) for move in store.life(running).failed_moves] == [("n2", "no memory")]


def declined(store: InvocationStore, offer: Offer) -> None:
    store.decline(offer, "no memory")


def late(store: InvocationStore, offer: Offer) -> None:
    assert store.end_late_moves() == [offer.invocation]


def ended(store: InvocationStore, offer: Offer) -> None:
    store.finish(offer.invocation, 1, InvocationState.SUCCEEDED)


def taker_lost(store: InvocationStore, offer: Offer) -> None:
    store.lose(offer.invocation, offer.epoch, "node n2 is gone", LOST)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (declined, "no memory"),
        (late, "did not take it up"),
        (ended, "it ended first"),
        (taker_lost, "node n2 is gone"),
    ],
    ids=["declined", "late", "ended", "taker lost"],
)
def test_a_move_that_does_not_take_place_is_told_of_in_its_life(
    store: InvocationStore, running: str, end: Callable[[InvocationStore, Offer], None], why: str
) -> None:
    end(store, store.offer(running, DESTINATION, 0))
    life = store.life(running)
    assert life.moves == 0
    (failed,) = life.failed_moves
    assert failed.node == "n2"
    assert why in failed.reason
    assert failed.at > life.invocation.created_at


def test_only_the_last_moves_that_failed_are_kept(store: InvocationStore, running: str) -> None:
    for number in range(7):
        store.decline(store.offer(running, DESTINATION, 60), f"for the {number}th time")
    found = [move.reason for move in store.life(running).failed_moves]
    assert found == [f"for the {number}th time" for number in range(2, 7)]


@pytest.mark.parametrize("case", ["not resumable", "moving", "gone", "other version", "there", "draining", "full"])
def test_an_offer_says_what_forbids_it(redis: Redis, store: InvocationStore, running: str, case: str) -> None:
    to, why = DESTINATION, case
    if case == "not resumable":
        redis.hset("qt:inv:i", "resumable", 0)
    elif case == "moving":
        store.offer(running, start_instance(redis, VERSION, "x3", "n2"), 60)
    elif case == "gone":
        to = "x7"
    elif case == "other version":
        to, why = start_instance(redis, make_version("v2"), "x3", "n2"), "gone"
    elif case == "there":
        to = start_instance(redis, VERSION, "x3", "n1")
    elif case == "draining":
        SlotStore(redis).drain(DESTINATION)
    elif case == "full":
        store.admit(make_invocation(VERSION, "other"))
    before = {view.id: view.in_use for view in SlotStore(redis).instances()}
    with pytest.raises(Conflict, match=NOT_OFFERED[why]):
        store.offer(running, to, 60)
    assert {view.id: view.in_use for view in SlotStore(redis).instances()} == before


@pytest.mark.parametrize("case", ["not resumable", "moving"])
def test_what_no_instance_could_take_is_known_beforehand(
    redis: Redis, store: InvocationStore, running: str, case: str
) -> None:
    store.check_movable(running)
    if case == "moving":
        store.offer(running, DESTINATION, 60)
    else:
        redis.hset("qt:inv:i", "resumable", 0)
    with pytest.raises(Conflict, match=NOT_OFFERED[case]):
        store.check_movable(running)


def test_a_destination_that_is_gone_takes_nothing_over(redis: Redis, store: InvocationStore, running: str) -> None:
    """Its process died, and nobody has settled what it held, when the source is lost too."""
    offer = store.offer(running, DESTINATION, 60)
    SlotStore(redis).remove(DESTINATION)
    assert store.accept(offer, NOTHING) is None
    assert store.lose(running, 1, "lost", LOST) is Lost.REQUEUED
    assert store.get(running).state is InvocationState.QUEUED
    assert not redis.exists("qt:moves")


def test_taking_over_twice_does_not_forget_the_next_move(redis: Redis, store: InvocationStore, running: str) -> None:
    first = store.offer(running, DESTINATION, 60)
    assert store.accept(first, NOTHING) is not None
    store.offer(running, start_instance(redis, VERSION, "x3", "n1"), 60)
    assert store.accept(first, NOTHING) is not None
    assert redis.zscore("qt:moves", running) is not None


def test_what_was_left_to_a_node_is_not_offered_on_before_that_takes_it(
    redis: Redis, store: InvocationStore, running: str
) -> None:
    """The end of the next offer would have the first one forgotten: nobody would miss what its node never heard of."""
    left = store.offer(running, DESTINATION, 60)
    store.lose(running, 1, "lost", LOST)
    third = start_instance(redis, VERSION, "x3", "n1")
    with pytest.raises(Conflict, match=NOT_OFFERED["moving"]):
        store.offer(running, third, 60)
    with pytest.raises(Conflict, match=NOT_OFFERED["moving"]):
        store.check_movable(running)
    assert store.accept(left, NOTHING) is not None
    assert store.offer(running, third, 60).epoch > left.epoch


def test_one_that_gives_up_late_does_not_take_it_from_its_next_owner(
    redis: Redis, store: InvocationStore, running: str
) -> None:
    """The offer to x2 was given up for it, and another instance has taken the invocation over meanwhile."""
    late = store.offer(running, DESTINATION, 0)
    assert store.end_late_moves() == [running]
    taken = store.offer(running, start_instance(redis, VERSION, "x3", "n2"), 60)
    assert store.accept(taken, NOTHING) is not None
    store.decline(late, "too late")
    assert store.lose(running, late.epoch, "lost", LOST) is Lost.STALE
    info = store.get(running)
    assert (info.state, info.instance, info.epoch) == (InvocationState.RUNNING, "x3", taken.epoch)


def test_a_late_one_is_not_taken_for_the_owner_that_its_instance_has_become(
    store: InvocationStore, redis: Redis, running: str
) -> None:
    """The invocation was queued again, and has come to the same instance by the usual way."""
    late = store.offer(running, DESTINATION, 0)
    store.end_late_moves()
    SlotStore(redis).remove(SOURCE)
    store.lose(running, 1, "lost", LOST)
    [assignment] = store.claim(DESTINATION)
    assert store.begin(running, assignment.epoch, "n2", DESTINATION)
    assert store.accept(late, NOTHING) is None


def test_what_was_left_to_a_node_that_never_heard_of_it_is_queued_again(
    redis: Redis, store: InvocationStore, running: str
) -> None:
    offer = store.offer(running, DESTINATION, 60)
    assert store.lose(running, 1, "lost", LOST) is Lost.MOVED
    assert store.get(running).instance == DESTINATION
    assert redis.zrange("qt:moves", 0, -1) == [running]
    assert store.end_late_moves() == []
    rewind(redis, "qt:moves", running, 61)
    assert store.end_late_moves() == [running]
    info = store.get(running)
    assert info.state is InvocationState.QUEUED
    assert "did not take it up" in (info.reason or "")
    assert store.accept(offer, NOTHING) is None
    assert not redis.exists("qt:moves")


def test_what_was_left_to_a_node_that_takes_it_stays_there(redis: Redis, store: InvocationStore, running: str) -> None:
    offer = store.offer(running, DESTINATION, 60)
    store.lose(running, 1, "lost", LOST)
    assert store.accept(offer, NOTHING) is not None
    assert not redis.exists("qt:moves")
    assert store.get(running).instance == DESTINATION
