from __future__ import annotations

import json
import math

import pytest
from redis import Redis

from quickthaw_platform.contracts import Move, Option, Refuse, Start, Wait, Way
from quickthaw_platform.router import decisions
from quickthaw_platform.router.decisions import MAX_OPTIONS, TTL_SECONDS, DecisionLog, decisions_key
from tests.valkey_process import ValkeyProcess

EVER = 1e11

OPTION = Option("n1", Way.DISK, 0.5, 1.0, 0.25, 2.0, "n0 is sooner")


def kinds(log: DecisionLog) -> list[tuple[str, str | None]]:
    return [(found.kind, found.reason) for found in log.between("v1", 0, EVER)]


def test_a_start_is_kept_with_all_that_was_considered(redis: Redis) -> None:
    log = DecisionLog(redis)
    start = Start("n1", 1.5, Way.DISK, 1.0, retire=("x0",), considered=(OPTION,))
    log.note("v1", start, "x1")
    [found] = log.between("v1", 0, EVER)
    assert (found.kind, found.node, found.instance, found.way) == ("start", "n1", "x1", "disk")
    assert (found.estimate_seconds, found.retire, found.reason) == (1.5, ("x0",), None)
    [option] = found.considered
    assert (option.node, option.way, option.seconds, option.verdict) == ("n1", "disk", 3.75, "n0 is sooner")


def test_a_wait_is_kept_with_what_is_to_make_room(redis: Redis) -> None:
    log = DecisionLog(redis)
    log.note("v1", Wait("full", 2.0, drain=("x2",), moves=(Move("i1", "x2", "n2"),)))
    [found] = log.between("v1", 0, EVER)
    assert (found.kind, found.reason, found.estimate_seconds, found.drain) == ("wait", "full", 2.0, ("x2",))
    assert [(m.invocation, m.instance, m.to_node) for m in found.moves] == [("i1", "x2", "n2")]


def test_a_refusal_is_kept(redis: Redis) -> None:
    log = DecisionLog(redis)
    log.note("v1", Refuse("too large"))
    assert kinds(log) == [("refuse", "too large")]


def test_only_the_best_options_that_are_any_are_kept(redis: Redis) -> None:
    log = DecisionLog(redis)
    options = [Option(f"n{n}", Way.REMOTE, 0.0, math.inf if n == 1 else n, 0.0) for n in range(2 * MAX_OPTIONS)]
    log.note("v1", Wait("full", considered=tuple(options)))
    [found] = log.between("v1", 0, EVER)
    assert [option.node for option in found.considered] == ["n0", *(f"n{n}" for n in range(2, MAX_OPTIONS + 1))]


def test_what_another_release_decided_is_left_out(redis: Redis) -> None:
    log = DecisionLog(redis)
    log.note("v1", Refuse("too large"))
    for body in ({"kind": "swap"}, {"kind": "refuse", "odds": 0.5}):
        redis.xadd(decisions_key("v1"), {"d": json.dumps(body)})
    assert kinds(log) == [("refuse", "too large")]


def test_to_wait_for_the_same_reason_is_not_repeated(redis: Redis) -> None:
    log = DecisionLog(redis)
    for reason in ("full", "full", "busy", "busy", "full"):
        log.note("v1", Wait(reason))
    log.note("v2", Wait("full"))
    assert kinds(log) == [("wait", "full"), ("wait", "busy"), ("wait", "full")]
    assert len(log.between("v2", 0, EVER)) == 1


def test_to_wait_again_after_a_start_is_kept(redis: Redis) -> None:
    log = DecisionLog(redis)
    for decision in (Wait("full"), Start("n1"), Start("n1"), Wait("full")):
        log.note("v1", decision)
    assert [kind for kind, _ in kinds(log)] == ["wait", "start", "start", "wait"]


def test_a_lasting_wait_is_kept_now_and_then(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "REPEAT_SECONDS", 0.0)
    log = DecisionLog(redis)
    log.note("v1", Wait("full"))
    log.note("v1", Wait("full"))
    assert len(kinds(log)) == 2


def test_only_the_decisions_of_a_time_are_read(redis: Redis) -> None:
    log = DecisionLog(redis)
    log.note("v1", Refuse("no"))
    [found] = log.between("v1", 0, EVER)
    assert log.between("v1", found.t, found.t) == [found]
    assert log.between("v1", found.t - 10, found.t - 1) == []
    assert log.between("v1", found.t + 1, found.t + 10) == []
    assert log.between("v2", 0, EVER) == []


def test_decisions_are_forgotten_in_time(redis: Redis) -> None:
    DecisionLog(redis).note("v1", Refuse("no"))
    left = redis.ttl(decisions_key("v1"))
    assert isinstance(left, int)
    assert TTL_SECONDS - 60 < left <= TTL_SECONDS


def test_while_redis_is_out_a_decision_is_lost_and_nothing_else(own_valkey: ValkeyProcess) -> None:
    with own_valkey.client() as client:
        log = DecisionLog(client)
        own_valkey.kill()
        log.note("v1", Start("n1"), "x1")
        own_valkey.start()
        log.note("v1", Start("n1"), "x2")
        assert [found.instance for found in log.between("v1", 0, EVER)] == ["x2"]
