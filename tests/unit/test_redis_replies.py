"""Redis' replies that it cannot serve now are an outage, wherever they come; others are not."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from redis import Redis
from redis._parsers.base import BaseParser
from redis.client import Pipeline
from redis.exceptions import ResponseError

from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.outage import OUTAGE, outage_is_unavailable
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.redis_client import connect
from quickthaw_platform.redis_replies import CODES, CannotServe, outage_in
from quickthaw_platform.settings import Settings
from tests.valkey_process import ValkeyProcess

SCRIPT = "return redis.call('SET', 'a', 'b')"


def piped(redis: Redis, *, transaction: bool) -> None:
    pipe = redis.pipeline(transaction=transaction)
    pipe.get("a")
    pipe.set("a", "b")
    pipe.execute()


def piped_script(redis: Redis) -> None:
    pipe = redis.pipeline(transaction=False)
    pipe.eval(SCRIPT, 0)
    pipe.execute()


def watched(pipe: Pipeline) -> None:
    pipe.multi()
    pipe.set("a", "b")


CHANGES: tuple[Callable[[Redis], object], ...] = (
    lambda redis: redis.set("a", "b"),
    lambda redis: redis.eval(SCRIPT, 0),
    lambda redis: piped(redis, transaction=False),
    lambda redis: piped(redis, transaction=True),
    piped_script,
    lambda redis: redis.transaction(watched, "a"),
    lambda redis: redis.lock("a").acquire(blocking=False),
)

OTHERS = (
    "ERR unknown command 'FOO'",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "BUSYGROUP Consumer Group name already exists",
    "BUSYKEY Target key name already exists.",
    "NOSCRIPT No matching script. Please use EVAL.",
    "ERR the word OOM in the middle of a sentence",
    "EXECABORT Transaction discarded because of previous errors.",
)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "form",
    [
        "{} for a reason",
        "{} for a reason. script: 4e8d, on @user_script:12.",  # Redis 7, Valkey
        "ERR Error running script (call to f_4e8d): @user_script:12: -{} for a reason",  # Redis 6
        "ERR Error running script (call to f_4e8d): @user_script:12: @user_script: 12: -{} for a reason",
        "EXECABORT Transaction discarded because of: {} for a reason",
    ],
)
def test_every_word_for_now_is_not_the_time_is_an_outage_in_each_place(code: str, form: str) -> None:
    found = outage_in(form.format(code))
    assert isinstance(found, OUTAGE)
    assert found.code == code


def test_too_many_connections_to_a_cluster_are_an_outage() -> None:
    assert outage_in("ERR max number of clients + cluster connections reached") is not None


@pytest.mark.parametrize("reply", OTHERS)
def test_what_no_time_will_mend_is_an_error(reply: str, platform_settings: Settings) -> None:
    connect(platform_settings).close()
    assert outage_in(reply) is None
    assert isinstance(BaseParser.parse_error(reply), ResponseError)  # type: ignore[no-untyped-call]


@pytest.fixture
def refusals(own_valkey: ValkeyProcess) -> dict[str, tuple[str, str]]:
    """What has a server refuse changes, by the word with which it does."""
    return {"NOREPLICAS": ("min-replicas-to-write", "1"), "OOM": ("maxmemory", "1")}


@pytest.mark.parametrize("code", ["NOREPLICAS", "OOM"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_server_that_takes_no_changes_is_out_and_back_when_it_does(
    own_valkey: ValkeyProcess, refusals: dict[str, tuple[str, str]], code: str, change: Callable[[Redis], object]
) -> None:
    setting, value = refusals[code]
    with own_valkey.client() as redis:
        redis.config_set(setting, value)
        with pytest.raises(Unavailable, match=code) as caught, outage_is_unavailable():
            change(redis)
        assert isinstance(caught.value.__cause__, CannotServe)
        assert caught.value.retry_after_seconds == 1.0
        assert redis.get("a") is None  # and answers what is only read
        redis.config_set(setting, "0")
        change(redis)


def test_a_replica_is_out_for_those_who_change_something(own_valkey: ValkeyProcess) -> None:
    with own_valkey.client() as redis:
        redis.replicaof("127.0.0.1", "1")
        with pytest.raises(Unavailable, match="READONLY"):
            SlotStore(redis).note_failure("v1", "a reason")
        redis.replicaof("NO", "ONE")


def test_a_host_whose_name_is_not_found_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with connect(Settings(redis_url="redis://redis.example:6379/0")) as redis, pytest.raises(Unavailable):  # noqa: SIM117
        with outage_is_unavailable():
            redis.get("a")
