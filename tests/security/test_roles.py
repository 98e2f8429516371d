"""Each kind of process reads and writes in Redis what its work needs, and is refused all else, in scripts too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.retry import Retry

from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.redis_roles import Role
from tests.valkey_process import ValkeyProcess

ROLES = (Role.GATEWAY, Role.WORKER, Role.CONTROLLER, Role.BEAT)
GATEWAY, WORKER, CONTROLLER, BEAT = ({role} for role in ROLES)
SERVING = GATEWAY | WORKER | CONTROLLER

WRITERS: dict[str, set[Role]] = {
    **dict.fromkeys(RedisKey, SERVING),
    **dict.fromkeys((RedisKey.KEYS, RedisKey.KEY, RedisKey.KEY_OPEN, RedisKey.QUOTA), GATEWAY),
    **dict.fromkeys((RedisKey.FUNCTIONS, RedisKey.FUNCTION, RedisKey.FUNCTION_VERSIONS), GATEWAY),
    **dict.fromkeys((RedisKey.FUNCTION_SECRETS, RedisKey.SEALING, RedisKey.VERSION), GATEWAY),
    **dict.fromkeys((RedisKey.STORED, RedisKey.STORED_BY_OWNER, RedisKey.RESULTS), GATEWAY),
    **dict.fromkeys((RedisKey.READY, RedisKey.DOCTOR), GATEWAY),
    **dict.fromkeys((RedisKey.LOGS, RedisKey.CHECKPOINTS, RedisKey.REMOTE), GATEWAY | WORKER),
    **dict.fromkeys((RedisKey.CONTROLLER_LOCK, RedisKey.CONTROLLER_WATCH), GATEWAY | CONTROLLER),
    **dict.fromkeys((RedisKey.CONTROLLER_HEARD, RedisKey.CONTROLLER_WANTED), GATEWAY | CONTROLLER),
    RedisKey.REDBEAT: GATEWAY | BEAT,
    "node.a": SERVING,
    "controller": SERVING | BEAT,
    "_kombu.binding.controller": SERVING | BEAT,
    "unacked": WORKER | CONTROLLER,
    "of somebody else": set(),
}
"""Who may write each key, where it is used as such or with a name behind it."""

UNREADABLE = {
    RedisKey.KEYS: SERVING - GATEWAY,
    RedisKey.KEY: SERVING - GATEWAY,
    RedisKey.FUNCTION_SECRETS: CONTROLLER,
    RedisKey.STORED: WORKER | CONTROLLER,
}

OWNERS_COMMANDS = [
    "CONFIG GET requirepass", "CONFIG SET dir /tmp", "DEBUG SLEEP 0", "MODULE LIST", "MODULE LOAD /x.so", "ACL LIST",
    "ACL SETUSER default on", "FLUSHALL", "FLUSHDB", "SHUTDOWN NOSAVE", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE",
    "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal", "REPLICAOF 127.0.0.1 1", "MIGRATE 127.0.0.1 1 qt:key:a 0 1",
    "SAVE", "BGREWRITEAOF", "SLOWLOG GET", "LATENCY RESET", "SWAPDB 0 1", "SCRIPT FLUSH", "SCRIPT KILL",
    "FUNCTION FLUSH", "FUNCTION LIST", "SUBSCRIBE everything", "PUBLISH everything x", "OBJECT HELP", "CLUSTER INFO",
]  # fmt: skip


@pytest.fixture(scope="module")
def users(valkey: ValkeyProcess) -> Iterator[dict[Role, Redis]]:
    """A client as each role."""
    with ExitStack() as opened:
        yield {role: opened.enter_context(Redis.from_url(valkey.url_of(role), decode_responses=True)) for role in Role}
    with valkey.client() as redis:
        redis.flushall()


def refused(client: Redis, *command: str) -> bool:
    """Whether the user may not do this; what is merely nonsense is not refused."""
    try:
        client.execute_command(*command)  # type: ignore[no-untyped-call]
    except NoPermissionError:
        return True
    except ResponseError as error:  # the first from within a script, the second of what no user may do over a network
        return "ACL failure" in str(error) or "not allowed" in str(error)
    return False


def forms(key: str) -> list[str]:
    """The keys that are meant: as it stands, or with a name behind it, whatever the name reads like."""
    return [key, f"{key}:a", f"{key}:a:qt:key:a"] if key in set(RedisKey) else [key]


@pytest.mark.parametrize("key", WRITERS)
def test_a_key_is_written_by_those_whose_work_it_is_and_by_nobody_else(users: dict[Role, Redis], key: str) -> None:
    for role in ROLES:
        allowed = [form for form in forms(key) if not refused(users[role], "APPEND", form, "")]
        assert bool(allowed) == (role in WRITERS[key]), f"{role} may write {allowed}"


@pytest.mark.parametrize("key", UNREADABLE)
def test_who_has_no_business_with_a_key_cannot_read_it(users: dict[Role, Redis], key: RedisKey) -> None:
    for role in UNREADABLE[key]:
        assert all(refused(users[role], "TYPE", form) for form in forms(key)), role


@pytest.mark.parametrize("role", ROLES)
def test_a_script_may_do_no_more_than_its_caller(users: dict[Role, Redis], role: Role) -> None:
    forged = "return redis.pcall('HSET', 'qt:key:0123456789ab', 'digest', 'x')"
    script = users[role].script_load("return redis.call('TIME')[1]")
    assert int(users[role].evalsha(script, 0)) > 0
    assert refused(users[role], "EVAL", forged, "0") == (role is not Role.GATEWAY)
    users[Role.OWNER].delete("qt:key:0123456789ab")


@pytest.mark.parametrize("command", OWNERS_COMMANDS)
def test_only_the_owner_commands_the_server(users: dict[Role, Redis], command: str) -> None:
    for role in ROLES:
        assert refused(users[role], *command.split()), role


def test_nobody_gets_in_without_a_password(valkey: ValkeyProcess) -> None:
    once = Retry(NoBackoff(), 0)  # by itself the client takes a refusal for an outage, and tries for seconds
    for role in Role:
        with (
            Redis("127.0.0.1", valkey.port, username=role.user, password="guessed", retry=once) as client,
            pytest.raises(AuthenticationError),
        ):
            client.ping()
