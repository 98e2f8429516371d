from __future__ import annotations

from collections.abc import Callable

import pytest
from redis import Redis

from quickthaw.types import Event, EventType, InvocationState, Usage
from quickthaw_platform.errors import HandlerFailed, InstanceLost, InvocationNotFound, LogGap, Unavailable
from quickthaw_platform.invocations.records import Append, Chunk, ColdStart, Ending, Finished, Lost, Record, Stopped
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.redis_client import connect
from quickthaw_platform.settings import Settings
from tests.state import lose, make_invocation, make_limits, make_version, start_instance

VERSION = make_version(concurrency=1, max_instances=2)
CHUNKS = [Chunk.of({"value": [i]}) for i in range(3)]
SUCCEEDED = InvocationState.SUCCEEDED
FAILED = InvocationState.FAILED


def run(redis: Redis, store: InvocationStore, identity: str = "a") -> int:
    """Bring an invocation to running on x1; returns the seq of its owner's first append."""
    start_instance(redis, VERSION)
    store.admit(make_invocation(VERSION, identity))
    return store.begin(identity, 1, "n1", "x1")


def events(store: InvocationStore, identity: str = "a") -> list[Event]:
    return store.read(identity, 0, 0)


class TestBegin:
    def test_it_tells_the_owner_where_its_log_goes_on(self, redis: Redis, store: InvocationStore) -> None:
        start_instance(redis, VERSION)
        assignment = store.admit(make_invocation(VERSION, "a")).assignment
        assert assignment is not None
        assert store.begin("a", 1, "n1", "x1") == assignment.next_seq == len(events(store)) + 1
        info = store.get("a")
        assert info.state is InvocationState.RUNNING
        assert info.started_at is not None

    def test_repeated_it_answers_the_same_and_writes_nothing(self, redis: Redis, store: InvocationStore) -> None:
        first = run(redis, store)
        before = events(store)
        assert store.begin("a", 1, "n1", "x1") == first
        assert events(store) == before

    @pytest.mark.parametrize(
        ("identity", "epoch", "node", "instance"),
        [
            ("a", 2, "n1", "x1"),  # another epoch
            ("a", 1, "n1", "x2"),  # another instance
            ("a", 1, "n2", "x1"),  # another node
            ("b", 1, "n1", "x1"),  # waits
            ("c", 1, "n1", "x1"),  # unknown
        ],
    )
    def test_only_the_owner_begins(
        self, redis: Redis, store: InvocationStore, identity: str, epoch: int, node: str, instance: str
    ) -> None:
        start_instance(redis, VERSION)
        store.admit(make_invocation(VERSION, "a"))
        store.admit(make_invocation(VERSION, "b"))
        assert store.begin(identity, epoch, node, instance) == 0


class TestAppend:
    def test_events_are_read_back_in_order_without_gaps(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        assert store.append("a", 1, seq, CHUNKS)
        log = events(store)
        assert [event.seq for event in log] == list(range(1, seq + 3))
        assert [event.data for event in log[-3:]] == [{"value": [0]}, {"value": [1]}, {"value": [2]}]

    def test_what_was_written_already_is_skipped(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        assert store.append("a", 1, seq, CHUNKS[:2])
        assert store.append("a", 1, seq, CHUNKS[:2])  # the whole call once more
        assert store.append("a", 1, seq, CHUNKS)  # once more, with what came meanwhile
        assert [event.data["value"] for event in events(store)[-3:]] == [[0], [1], [2]]
        assert events(store)[-1].seq == seq + 2

    def test_a_gap_is_an_error_and_writes_nothing(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        with pytest.raises(LogGap):
            store.append("a", 1, seq + 1, CHUNKS)
        assert events(store)[-1].type is EventType.STATUS

    @pytest.mark.parametrize("most", [10, 2000])  # arguments of a script: some scripts, or one for all
    def test_of_several_appends_each_has_its_own_answer(
        self, redis: Redis, store: InvocationStore, monkeypatch: pytest.MonkeyPatch, most: int
    ) -> None:
        monkeypatch.setattr("quickthaw_platform.invocations.store.MAX_TOGETHER", most)
        ended = run(redis, store, "ended")
        store.cancel("ended", "enough")
        first = run(redis, store, "a")
        start_instance(redis, VERSION, "x2")
        store.admit(make_invocation(VERSION, "b"))
        second = store.begin("b", 1, "n1", "x2")
        record = ("0.0.x", {"text": "", "tokens": [1]})
        appends = [
            Append("ended", 1, ended, CHUNKS),
            Append("b", 1, second + 5, CHUNKS),
            Append("a", 1, first, CHUNKS, 1, [Record.of(*record)]),
            Append("unknown", 1, 1, CHUNKS),
            Append("b", 1, second, CHUNKS[:1]),
        ]
        late, gap, *others = store.append_each(appends)
        assert (late, *others) == (False, True, False, True)
        assert isinstance(gap, LogGap)
        assert (gap.last_seq, gap.last_record) == (second - 1, 0)
        assert [event.data["value"] for event in events(store, "a")[-3:]] == [[0], [1], [2]]
        assert store.history("a").records == (record,)
        assert events(store, "b")[-1].data["value"] == [0]
        assert store.append_each([]) == []

    def test_the_last_outputs_may_end_it_in_the_same_change(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        store.admit(make_invocation(VERSION, "waits"))
        ending = Ending("all", Usage(completion_tokens=3), start=ColdStart({"fork": 0.5}, "disk"))
        record = Record.of("0.0.x", {"text": "", "tokens": [1]})
        last = Append("a", 1, seq, CHUNKS, 1, [record], (InvocationState.SUCCEEDED, ending))
        (done,) = store.append_each([last])
        assert isinstance(done, Finished)
        assert done.next is not None
        assert done.next.invocation == "waits"
        assert [event.type.value for event in events(store, "a")[-4:]] == ["chunk", "chunk", "chunk", "result"]
        info = store.get("a")
        assert (info.state, info.result, info.usage) == (InvocationState.SUCCEEDED, "all", ending.usage)
        assert (info.stages, info.tier) == ({"fork": 0.5}, "disk")
        assert store.history("a").records == (("0.0.x", {"text": "", "tokens": [1]}),)
        assert store.append_each([last]) == [Finished(True)]  # its answer was lost: it has been done
        assert len(events(store, "a")) == seq + len(CHUNKS)

    @pytest.mark.parametrize("seq_too_far", [0, 1], ids=["ended otherwise", "events are missing"])
    def test_what_may_not_be_appended_ends_nothing(
        self, redis: Redis, store: InvocationStore, seq_too_far: int
    ) -> None:
        seq = run(redis, store)
        if not seq_too_far:
            store.cancel("a", "enough")
        before = events(store, "a")
        ends = InvocationState.SUCCEEDED, Ending("all")
        (refused,) = store.append_each([Append("a", 1, seq + seq_too_far, CHUNKS, ends=ends)])
        assert isinstance(refused, LogGap) if seq_too_far else refused is False
        assert events(store, "a") == before

    def test_the_first_chunk_sets_the_time_of_the_first_output(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        assert store.append_each([Append("a", 1, seq, records=[Record.of("0.0.x", {"text": "", "tokens": [1]})])]) == [
            True
        ]
        assert store.get("a").first_output_at is None
        store.append("a", 1, seq, CHUNKS)
        first = store.get("a").first_output_at
        store.append("a", 1, seq + 3, CHUNKS)
        assert store.get("a").first_output_at == first is not None

    def test_a_writer_that_is_not_the_owner_any_more_is_told_so(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        lose(store, "a", 1, "moved")
        assert not store.append("a", 1, seq, CHUNKS)
        [again] = store.claim("x1")
        assert store.begin("a", again.epoch, "n1", "x1") == again.next_seq
        assert not store.append("a", 1, again.next_seq, CHUNKS)
        assert store.append("a", 2, again.next_seq, CHUNKS)

    def test_nothing_is_written_after_the_end(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        store.cancel("a", "enough")
        assert not store.append("a", 1, seq, CHUNKS)
        assert events(store)[-1].type is EventType.ERROR


class TestFinish:
    def test_it_records_result_usage_and_stages(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        usage = Usage(prompt_tokens=3, completion_tokens=2)
        done = store.finish("a", 1, SUCCEEDED, result=[], usage=usage, start=ColdStart({"queue": 0.5}, "disk"), seq=seq)
        assert done == Finished(True)
        info = store.get("a")
        assert (info.state, info.result, info.usage) == (SUCCEEDED, [], usage)
        assert (info.stages, info.tier) == ({"queue": 0.5}, "disk")
        assert info.ended_at is not None
        last = events(store)[-1]
        assert (last.type, last.seq, last.data) == (
            EventType.RESULT, seq, {"value": [], "usage": usage.model_dump(exclude_none=True)}
        )  # fmt: skip

    def test_a_failure_ends_the_log_with_its_error(self, redis: Redis, store: InvocationStore) -> None:
        run(redis, store)
        error = HandlerFailed("boom").to_json()
        assert store.finish("a", 1, FAILED, error=error).done
        assert store.get("a").error == error
        assert events(store)[-1].data == {"error": error}

    def test_the_freed_slot_goes_to_the_head_of_the_queue(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        for identity in ("b", "c"):
            store.admit(make_invocation(VERSION, identity))
        following = store.finish("a", 1, SUCCEEDED, seq=seq).next
        assert following is not None
        assert (following.invocation, following.instance, following.epoch) == ("b", "x1", 1)
        assert store.get("c").position == 1

    def test_repeated_it_is_done_and_hands_out_nothing_more(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        store.admit(make_invocation(VERSION, "b"))
        store.finish("a", 1, SUCCEEDED, seq=seq)
        assert store.finish("a", 1, SUCCEEDED, seq=seq) == Finished(True)
        assert [event.type for event in events(store)].count(EventType.RESULT) == 1

    @pytest.mark.parametrize(("epoch", "state"), [(2, SUCCEEDED), (1, FAILED), (None, InvocationState.TIMED_OUT)])
    def test_an_end_is_final(
        self, redis: Redis, store: InvocationStore, epoch: int | None, state: InvocationState
    ) -> None:
        run(redis, store)
        store.finish("a", 1, SUCCEEDED, result=1)
        before = store.get("a"), events(store)
        assert store.finish("a", epoch, state, error={}) == Finished(False)
        assert not store.cancel("a", "late").done
        assert lose(store, "a", 1, "late") is Lost.STALE
        assert (store.get("a"), events(store)) == before

    def test_a_stale_owner_cannot_end_it(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        lose(store, "a", 1, "moved")
        assert not store.finish("a", 1, SUCCEEDED, seq=seq).done
        assert store.get("a").state is InvocationState.QUEUED

    def test_a_gap_before_the_end_is_an_error(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        with pytest.raises(LogGap):
            store.finish("a", 1, SUCCEEDED, seq=seq + 1)
        assert store.get("a").state is InvocationState.RUNNING

    def test_everything_that_is_left_of_it_goes_in_time(self, redis: Redis, store: InvocationStore) -> None:
        seq = run(redis, store)
        store.append("a", 1, seq, CHUNKS)
        store.finish("a", 1, SUCCEEDED)
        assert all(redis.pttl(key) > 0 for key in redis.scan_iter("qt:inv*"))
        assert not redis.exists("qt:deadlines", "qt:active", "qt:instance.leases:x1", "qt:version.queue:v1")

    def test_an_instance_is_idle_from_its_last_lease_on(
        self, redis: Redis, store: InvocationStore, slots: SlotStore
    ) -> None:
        seq = run(redis, store)
        assert redis.hget("qt:instance:x1", "idle_since") is None
        store.finish("a", 1, SUCCEEDED, seq=seq)
        assert redis.hget("qt:instance:x1", "idle_since") is not None
        assert slots.instances()[0].in_use == 0

    def test_an_ended_webhook_invocation_is_due_for_delivery(self, redis: Redis, store: InvocationStore) -> None:
        store.admit(make_invocation(VERSION, "a", webhook={"url": "http://x"}))
        store.admit(make_invocation(VERSION, "b"))
        store.cancel("a", "enough")
        store.cancel("b", "enough")
        assert redis.zrange("qt:webhooks", 0, -1) == ["a"]


class TestCancel:
    def test_one_that_waits_leaves_the_queue(self, store: InvocationStore) -> None:
        store.admit(make_invocation(VERSION, "a"))
        assert store.cancel("a", "the caller hung up") == Stopped(True)
        info = store.get("a")
        assert info.state is InvocationState.CANCELLED
        assert info.error is not None
        assert (info.error["code"], info.error["message"]) == ("cancelled", "the caller hung up")

    def test_one_that_runs_says_where_and_frees_its_slot(self, redis: Redis, store: InvocationStore) -> None:
        run(redis, store)
        store.admit(make_invocation(VERSION, "b"))
        stopped = store.cancel("a", "enough")
        assert (stopped.node, stopped.instance) == ("n1", "x1")
        assert stopped.next is not None
        assert stopped.next.invocation == "b"

    def test_repeated_it_does_nothing(self, store: InvocationStore) -> None:
        store.admit(make_invocation(VERSION, "a"))
        store.cancel("a", "enough")
        assert store.cancel("a", "enough") == Stopped(False)


class TestRequeue:
    def test_it_is_first_again_at_the_next_epoch(self, redis: Redis, store: InvocationStore) -> None:
        run(redis, store)
        store.admit(make_invocation(VERSION, "b"))
        assert lose(store, "a", 1, "the instance died") is Lost.REQUEUED
        info = store.get("a")
        assert (info.state, info.epoch, info.position, info.reason) == (
            InvocationState.QUEUED, 2, 1, "the instance died"
        )  # fmt: skip
        assert (info.node, info.instance, info.started_at) == (None, None, None)
        assert [a.invocation for a in store.claim("x1")] == ["a"]
        assert store.get("a").attempts == 2

    def test_repeated_it_does_nothing(self, redis: Redis, store: InvocationStore) -> None:
        run(redis, store)
        assert lose(store, "a", 1) is Lost.REQUEUED
        assert lose(store, "a", 1) is Lost.STALE
        assert store.get("a").epoch == 2

    def test_the_start_limit_runs_anew_within_the_total(self, redis: Redis, store: InvocationStore) -> None:
        start_instance(redis, VERSION)
        store.admit(make_invocation(VERSION, "a", limits=make_limits(start=10, total=1000)))
        store.begin("a", 1, "n1", "x1")
        lose(store, "a", 1)
        created, due = store.get("a").created_at, redis.zscore("qt:deadlines", "a")
        assert due is not None
        assert created + 10 < due < created + 20


class TestLose:
    ERROR = InstanceLost("the process died")

    def test_it_is_tried_again_until_its_tries_are_used_up(self, redis: Redis, store: InvocationStore) -> None:
        run(redis, store)
        assert store.lose("a", 1, "the process died", self.ERROR) is Lost.REQUEUED
        [again] = store.claim("x1")
        store.begin("a", again.epoch, "n1", "x1")
        assert store.lose("a", again.epoch, "the process died", self.ERROR) is Lost.FAILED
        info = store.get("a")
        assert (info.state, info.attempts) == (FAILED, 2)
        assert info.error is not None
        assert info.error["code"] == "poison_invocation"
        assert "the process died" in info.error["message"]

    def test_the_loss_of_an_instance_that_had_not_begun_it_is_not_laid_to_its_charge(
        self, redis: Redis, store: InvocationStore
    ) -> None:
        run(redis, store)
        for epoch in range(1, 5):
            assert store.lose("a", epoch, "the process died", self.ERROR) is Lost.REQUEUED
            store.claim("x1")
        assert store.get("a").state is InvocationState.ASSIGNED

    def test_the_loss_of_what_its_owner_never_ran_is_not_laid_to_its_charge(
        self, redis: Redis, store: InvocationStore
    ) -> None:
        run(redis, store)
        for epoch in range(1, 5):
            assert store.lose("a", epoch, "a ghost had it", self.ERROR, ran=False) is Lost.REQUEUED
            [again] = store.claim("x1")
            store.begin("a", again.epoch, "n1", "x1")
        assert store.get("a").state is InvocationState.RUNNING

    @pytest.mark.parametrize("resumable", [True, False])
    def test_an_instance_that_is_gone_as_well_gets_nothing_more(
        self, redis: Redis, store: InvocationStore, resumable: bool
    ) -> None:
        version = make_version(resumable=resumable, concurrency=1, max_instances=2)
        start_instance(redis, version)
        store.admit(make_invocation(version, "a"))
        store.append("a", 1, store.begin("a", 1, "n1", "x1"), CHUNKS[:1])
        store.admit(make_invocation(version, "b"))
        outcome = store.lose("a", 1, "the process died", self.ERROR, with_instance=True)
        assert outcome is (Lost.REQUEUED if resumable else Lost.FAILED)
        assert store.get("b").state is InvocationState.QUEUED
        assert store.claim("x1") == []
        assert store.admit(make_invocation(version, "c")).assignment is None

    def test_it_may_be_lost_any_number_of_times_while_something_new_comes_of_it(
        self, redis: Redis, store: InvocationStore
    ) -> None:
        seq, epoch = run(redis, store), 1
        for position in range(1, 5):
            record = Record.of(f"0.{position}.", {"text": "", "tokens": [1]})
            assert store.append_each([Append("a", epoch, seq, (), position, [record])]) == [True]
            assert store.append("a", epoch, seq, CHUNKS[:1])
            assert store.lose("a", epoch, "the process died", self.ERROR) is Lost.REQUEUED
            [again] = store.claim("x1")
            epoch, seq = again.epoch, store.begin("a", again.epoch, "n1", "x1")
        assert store.lose("a", epoch, "the process died", self.ERROR) is Lost.FAILED
        assert [event.seq for event in events(store)] == list(range(1, events(store)[-1].seq + 1))

    @pytest.mark.parametrize("puts_out", [False, True])
    def test_what_is_not_resumable_fails_once_it_was_begun(
        self, redis: Redis, store: InvocationStore, puts_out: bool
    ) -> None:
        version = make_version(resumable=False)
        start_instance(redis, version)
        store.admit(make_invocation(version, "a"))
        seq = store.begin("a", 1, "n1", "x1")
        if puts_out:
            store.append("a", 1, seq, CHUNKS)
        assert store.lose("a", 1, "the process died", self.ERROR) is Lost.FAILED
        assert store.get("a").error == self.ERROR.to_json()

    def test_what_is_not_resumable_is_queued_again_where_nobody_had_begun_it(
        self, redis: Redis, store: InvocationStore
    ) -> None:
        version = make_version(resumable=False)
        start_instance(redis, version)
        store.admit(make_invocation(version, "a"))
        assert store.lose("a", 1, "its node died", self.ERROR) is Lost.REQUEUED
        [again] = store.claim("x1")
        store.begin("a", again.epoch, "n1", "x1")
        assert store.lose("a", again.epoch, "a ghost had it", self.ERROR, ran=False) is Lost.REQUEUED

    def test_what_was_put_out_and_recorded_is_there_for_the_next_owner(
        self, redis: Redis, store: InvocationStore
    ) -> None:
        seq = run(redis, store)
        first, second = {"text": "a", "tokens": [1]}, {"text": "b", "tokens": [2, 3]}
        chunks = [Chunk.of({"value": "-"}), Chunk.of({"delta": second}, "0.1.")]
        for _ in range(2):  # its answer was lost: it is written once
            store.append_each([Append("a", 1, seq, chunks, 1, [Record.of("0.0.x", first)])])
        history = store.history("a")
        assert history.outputs == ({"value": "-"}, {"delta": second})
        assert history.records == (("0.0.x", first), ("0.1.", second))
        assert (history.tokens, history.seq, history.position) == (3, seq + 1, 1)
        store.append("a", 1, seq + 2, [Chunk.of({"value": "+"})])
        assert store.history("a", history).outputs == ({"value": "+"},)
        assert store.history("a", store.history("a")).records == ()

    def test_of_two_who_settle_it_one_does(self, redis: Redis, store: InvocationStore) -> None:
        run(redis, store)
        assert store.lose("a", 1, "died", self.ERROR) is Lost.REQUEUED
        assert store.lose("a", 1, "died", self.ERROR) is Lost.STALE
        assert store.lose("unknown", 1, "died", self.ERROR) is Lost.STALE


def test_an_unknown_invocation_is_not_found(store: InvocationStore) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.get("z"),
        lambda: store.request("z"),
        lambda: store.webhook("z"),
        lambda: store.cancel("z", "enough"),
        lambda: store.finish("z", None, FAILED, error={}),
        lambda: store.read("z", 0, 0),
        lambda: list(store.follow("z")),
    ]
    for call in calls:
        with pytest.raises(InvocationNotFound):
            call()


def test_without_redis_everything_is_unavailable_and_says_when_to_try_again() -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1")
    with connect(settings) as client:
        store = InvocationStore(client, settings)
        calls: list[Callable[[], object]] = [
            lambda: store.admit(make_invocation(VERSION)),
            lambda: store.get("a"),
            lambda: store.request("a"),
            lambda: store.read("a", 0, 0),
            lambda: SlotStore(client).instances(),
        ]
        for call in calls:
            with pytest.raises(Unavailable) as raised:
                call()
            assert raised.value.retry_after_seconds
