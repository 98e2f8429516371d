"""Who may do what in Redis: a user for each kind of process, with the keys that it reads and writes and no command that
looks at or changes the server itself.

One table says which keys each role needs. What a role runs inside a Lua script is held to the same rules. Redis (from
7) and Valkey know no exceptions from a pattern, so a key that workers or the controller are to reach needs a row here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from quickthaw_platform import settings as settings_module
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings


class Role(StrEnum):
    """A kind of process, called as in commands.processes; the owner is whoever keeps the server."""

    OWNER = "owner"
    GATEWAY = "gateway"
    WORKER = "worker"
    CONTROLLER = "controller"
    BEAT = "beat"

    @property
    def user(self) -> str:
        """The name of its user in Redis."""
        return f"quickthaw-{self}"


_SERVING = (Role.WORKER, Role.CONTROLLER)
"""Like the gateway, either may end an invocation, and so gives its slot to the next one."""

_COMMANDING = (Role.GATEWAY, *_SERVING)
"""They send commands, which Celery carries."""


class KeyRule(NamedTuple):
    """Who writes (and reads) the keys of a pattern, and who reads them only."""

    pattern: str
    writers: Collection[Role]
    readers: Collection[Role] = ()


_RULES = (
    # Only the gateway makes and changes API keys, which others do not even read, functions and their secrets.
    KeyRule("qt:*", (Role.GATEWAY,)),
    KeyRule(f"{RedisKey.VERSION}:*", (), _SERVING),
    KeyRule(f"{RedisKey.FUNCTION}:*", (), (Role.CONTROLLER,)),
    KeyRule(RedisKey.FUNCTIONS, (), (Role.CONTROLLER,)),
    KeyRule(f"{RedisKey.FUNCTION_SECRETS}:*", (), (Role.WORKER,)),
    KeyRule(RedisKey.SEALING, (), (Role.WORKER,)),
    # Invocations and what they run on.
    KeyRule(f"{RedisKey.INVOCATION}*", _SERVING),
    KeyRule(f"{RedisKey.INSTANCE}*", _SERVING),
    KeyRule(f"{RedisKey.NODE}*", _SERVING),
    KeyRule("qt:version.*", _SERVING),
    KeyRule(RedisKey.ACTIVE, _SERVING),
    KeyRule(RedisKey.DEADLINES, _SERVING),
    KeyRule(RedisKey.MOVES, _SERVING),
    KeyRule(RedisKey.QUEUES, _SERVING),
    KeyRule(f"{RedisKey.HELD}:*", _SERVING),
    KeyRule(f"{RedisKey.IDEMPOTENCY}:*", _SERVING),
    KeyRule(f"{RedisKey.FUNCTION_LIVE}:*", _SERVING),
    KeyRule(f"{RedisKey.FUNCTION_CALLS}:*", _SERVING),
    KeyRule(f"{RedisKey.FUNCTION_GAPS}:*", _SERVING),
    KeyRule(f"{RedisKey.FUNCTION_IDLE_SINCE}:*", _SERVING),
    KeyRule(f"{RedisKey.FUNCTION_LEARNT}:*", _SERVING),
    KeyRule(f"{RedisKey.WEBHOOKS}*", _SERVING),
    KeyRule(RedisKey.MIGRATION_LEARNT, _SERVING),
    KeyRule(RedisKey.ROUTER_ACCURACY, _SERVING),
    # Celery's queues: lists by name and priority, which queues there are, and what was taken and not acknowledged.
    KeyRule("node.*", _COMMANDING),
    KeyRule("controller*", (*_COMMANDING, Role.BEAT)),
    KeyRule("_kombu.binding*", (*_COMMANDING, Role.BEAT)),
    KeyRule("unacked*", _SERVING),
    # What nodes tell.
    KeyRule(RedisKey.CHECKPOINTS, (Role.WORKER,), (Role.CONTROLLER,)),
    KeyRule(f"{RedisKey.REMOTE}:*", (Role.WORKER,), (Role.CONTROLLER,)),
    KeyRule(f"{RedisKey.LOGS}:*", (Role.WORKER,)),
    KeyRule(f"{RedisKey.USAGE}*", _SERVING),
    # The platform's own rounds.
    KeyRule("qt:controller.*", (Role.CONTROLLER,)),
    KeyRule(f"{RedisKey.REDBEAT}:*", (Role.BEAT,)),
)

_COMMANDS = (
    "-@all +@read +@write +@transaction -@dangerous -@scripting +eval +evalsha +script|load +script|exists "
    "-scan -randomkey -dbsize "
    "+ping +echo +time +info +auth +hello +select +client|setname +client|setinfo +client|id"
)
"""Reads, writes, transactions and our scripts. Not: what lists all keys, and what Redis calls dangerous, which includes
CONFIG, DEBUG, MODULE, ACL, MONITOR, KEYS, FLUSHALL, SHUTDOWN and the ways of a replica."""

_MORE_COMMANDS = {Role.GATEWAY: "+client|unblock"}
"""A gateway's reader of event logs is woken when another stream begins."""


def rules(role: Role) -> str:
    """Return a user's rules as Redis reads them, without its password: `~key`, `%R~key read only`, `+command`."""
    if role is Role.OWNER:
        return "~* &* +@all"
    commands = " ".join(filter(None, (_COMMANDS, _MORE_COMMANDS.get(role))))
    return " ".join(("resetchannels", *_patterns(role), commands))


def user_line(role: Role, password: str) -> str:
    """Return the line that makes a role's user, in a configuration or an ACL file. It holds the password's digest."""
    return f"user {role.user} on #{sha256(password.encode()).hexdigest()} {rules(role)}"


def settings_of(role: Role) -> Settings:
    """Return this process's settings with the `redis_url` of its role: its own setting, else the one for all."""
    settings = settings_module.load()
    return settings.model_copy(update={"redis_url": url_of(role, settings)})


def url_of(role: Role, settings: Settings) -> str | None:
    """Return where a role finds Redis by the settings; None: nowhere. The owner's is the one for all."""
    own = {
        Role.GATEWAY: settings.gateway_redis_url,
        Role.WORKER: settings.worker_redis_url,
        Role.CONTROLLER: settings.controller_redis_url,
        Role.BEAT: settings.beat_redis_url,
    }
    return own.get(role) or settings.redis_url


def _patterns(role: Role) -> Iterator[str]:
    for rule in _RULES:
        if role in rule.writers:
            yield f"~{rule.pattern}"
        elif role in rule.readers:
            yield f"%R~{rule.pattern}"
