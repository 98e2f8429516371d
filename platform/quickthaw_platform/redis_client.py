"""The one way to connect to Redis or Valkey, for every process of the platform."""

from __future__ import annotations

import queue
from typing import Any

import hiredis
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.connection import BlockingConnectionPool, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from quickthaw_platform import redis_replies
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.settings import Settings

SOCKET_TIMEOUT_SECONDS = 20.0
"""Longer than any blocking read of ours: a shorter one would cut those off."""

CONNECT_TIMEOUT_SECONDS = 2.0
HEALTH_CHECK_SECONDS = 15

MAX_CONNECTIONS = 10_000
"""As many as Redis itself accepts by default. redis-py stops at 100."""

GATEWAY_CONNECTIONS = 64
"""Of one gateway process, however many requests it serves: each takes one for the time of a command.

Too few are worse than slow: requests wait for one at each of their commands, in no order, and some are overtaken again
and again, which the 99th percentile of `benchmarks.overhead` shows at 64 streams.
"""


class _Client(Redis):
    """redis-py's client, which sends a command and reads its answer, and measures nothing: nobody asks it to."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command and return its answer, from a new connection where that of the pool has broken."""
        if self.connection is not None:  # it has one of its own
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis leaves it so
        connection: Any = self.connection_pool.get_connection()  # its methods too are unannotated

        def ask() -> Any:
            connection.send_command(*args, **options)
            return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call]

        try:
            return connection.retry.call_with_retry(ask, lambda _: connection.disconnect())
        finally:
            self.connection_pool.release(connection)


class _Packer:
    """Packs commands of texts, bytes and numbers: redis-py goes through all arguments once more, for other kinds."""

    @staticmethod
    def pack(*args: Any) -> list[bytes]:
        """Return the command's bytes; its name may be of several words."""
        name, *arguments = args
        return [hiredis.pack_command((*name.split(), *arguments))]


class _SharedConnections(BlockingConnectionPool):
    """Lends connections as they were given back. redis-py asks the system at each loan whether one has broken, which
    under gevent takes a round of its loop; here the command that finds out is made again by a new connection.
    """

    def get_connection(self, *_args: Any, **_options: Any) -> Any:
        """Return a connection that nobody has; waits for one, and raises ConnectionError after `timeout` seconds."""
        try:
            return self.pool.get(timeout=self.timeout) or self.make_connection()  # type: ignore[no-untyped-call]
        except queue.Empty:
            raise RedisConnectionError("No connection available.") from None

    def release(self, connection: Any) -> None:
        """Take a connection back."""
        self.pool.put_nowait(connection)


class _OneConnection(ConnectionPool):
    """The pool of one thread: a connection that it takes and gives back at no cost, and that connects when it must."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._own: Any = self.make_connection()

    def get_connection(self, *_args: Any, **_options: Any) -> Any:
        """Return the connection, always the same."""
        return self._own

    def release(self, connection: object) -> None:
        """Keep it."""

    def disconnect(self, *_args: Any, **_options: Any) -> None:
        """Break the connection; the next command makes it anew."""
        self._own.disconnect()


def for_one_thread(redis: Redis) -> Redis:
    """Return a client of the same Redis for one thread alone, which makes a command in half the steps."""
    pool = redis.connection_pool
    return _Client(connection_pool=_OneConnection(connection_class=pool.connection_class, **pool.connection_kwargs))


def connect(settings: Settings, most_connections: int | None = None) -> Redis:
    """Return a client that answers str, opens as many connections as are in use, and connects at its first command.

    With `most_connections` there are never more, and whoever finds all of them in use waits for one.
    A connection that broke while it lay idle is replaced once, silently; an outage raises ConnectionError at once, and
    so does a Redis that says that it cannot serve now.
    """
    redis_replies.install()
    if settings.redis_url is None:
        raise SettingsInvalid("redis_url is not set; start with `quickthaw up`, or set QUICKTHAW_REDIS_URL")
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        "retry": Retry(ExponentialBackoff(cap=0.1, base=0.01), retries=1),
        "retry_on_error": [RedisConnectionError],
        "command_packer": _Packer,
    }
    try:
        if most_connections is None:
            return _Client.from_url(settings.redis_url, max_connections=MAX_CONNECTIONS, **options)
        shared = {"max_connections": most_connections, "timeout": SOCKET_TIMEOUT_SECONDS}
        return _Client.from_pool(_SharedConnections.from_url(settings.redis_url, **shared, **options))
    except ValueError as error:
        raise SettingsInvalid(
            f"redis_url is no address of a Redis: {error}; write redis://HOST:PORT/0 into QUICKTHAW_REDIS_URL"
        ) from error
