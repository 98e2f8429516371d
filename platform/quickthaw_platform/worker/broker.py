"""Celery's way to Redis, mended where kombu (5.6, 5.7) does not get over a Redis that is killed at a bad moment."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from redis.exceptions import ConnectionError as RedisConnectionError

from quickthaw_platform import redis_replies


def url(redis_url: str) -> str:
    """Return the URL by which kombu finds a Redis: it has words of its own for one at a socket of this host."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    options = [("virtual_host" if name == "db" else name, value) for name, value in parse_qsl(parts.query)]
    query = f"?{urlencode(options)}" if options else ""
    return f"redis+socket://{parts.netloc}{parts.path}{query}"


class QoS(redis.QoS):
    """The messages that a consumer has taken and not acknowledged.

    One whose acknowledgement failed kept its place among them forever. When all places were taken like that, the
    controller waited for a place instead of listening, and so did not even find out that its connection had broken.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, once. One that was taken from a queue without acknowledgement costs no round trip."""
        if delivery_tag not in (self._delivered or ()):
            return
        try:
            super().ack(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)


class Channel(redis.Channel):
    """Raises redis' ConnectionError when it is used after its connection broke, and keeps its client.

    kombu makes a client for each message, and redis-py fills a table of 170 functions for each client.

    kombu takes the connection away from the channels of a connection that broke, or the address from the connection.
    Whoever still held one, another thread that published, say, or Celery that closes it again, met an AttributeError:
    no outage to Celery, so a worker ended, or a call was answered with 500.
    """

    QoS = QoS
    _kept_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[misc]  # its stubs leave it out
        pool = self.pool  # another one after an outage
        if self._kept_client is None or self._kept_client.connection_pool is not pool:
            self._kept_client = super()._create_client()  # type: ignore[misc]
        return self._kept_client

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the connection to the broker has broken")
        return super()._connparams(asynchronous)  # type: ignore[misc]  # its stubs leave it out


class Transport(redis.Transport):
    """kombu's, with that channel."""

    Channel = Channel


def install() -> None:
    """Have every connection to Redis that kombu makes from now on use this transport."""
    redis_replies.install()
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
