"""kombu's transport, mended: what becomes of channels and messages when Redis is killed."""

from __future__ import annotations

from typing import Any

import pytest
from kombu import Connection

from quickthaw_platform.invocations.outage import OUTAGE
from quickthaw_platform.worker import broker
from tests.valkey_process import ValkeyProcess


@pytest.fixture(autouse=True)
def installed() -> None:
    broker.install()


def taken(connection: Connection, *, no_ack: bool) -> Any:
    """Return a message that fills the only place of its consumer."""
    queue: Any = connection.SimpleQueue("q", no_ack=no_ack)
    queue.channel.basic_qos(0, 1, False)
    queue.put("text")
    return queue.get(timeout=5)


def test_a_channel_whose_connection_broke_fails_as_an_outage_does(valkey: ValkeyProcess) -> None:
    connection = Connection(valkey.url)
    channel: Any = connection.channel()
    connection.close()
    with pytest.raises(OUTAGE):
        channel.queue_purge("q")


def test_a_channel_keeps_its_client_until_its_connections_are_gone(valkey: ValkeyProcess) -> None:
    channel: Any = Connection(valkey.url).channel()
    with channel.conn_or_acquire() as first, channel.conn_or_acquire() as again:
        assert again is first
    channel._disconnect_pools()
    with channel.conn_or_acquire() as anew:
        assert anew is not first
        assert anew.ping()


def test_a_channel_that_holds_a_message_closes_as_in_an_outage_when_its_connection_was_collected(
    own_valkey: ValkeyProcess,
) -> None:
    """As Celery does it to a worker's connection: it is collected, and then closed once more."""
    connection = Connection(own_valkey.url)
    message = taken(connection, no_ack=False)
    own_valkey.kill()
    connection.collect()
    message.channel._disconnect_pools()  # as kombu does when it finds the connection that listens broken
    with pytest.raises(OUTAGE):
        message.channel.qos.restore_unacked()


def test_a_message_that_could_not_be_acknowledged_gives_its_place_back(own_valkey: ValkeyProcess) -> None:
    message = taken(Connection(own_valkey.url), no_ack=False)
    assert not message.channel.qos.can_consume()
    own_valkey.kill()
    with pytest.raises(OUTAGE):
        message.ack()
    assert message.channel.qos.can_consume()


def test_what_needs_no_acknowledgement_is_acknowledged_without_redis(own_valkey: ValkeyProcess) -> None:
    message = taken(Connection(own_valkey.url), no_ack=True)
    own_valkey.kill()
    message.ack()
    assert message.channel.qos.can_consume()


@pytest.mark.parametrize(
    ("redis_url", "kombus"),
    [
        ("redis://:secret@host:6379/1", "redis://:secret@host:6379/1"),
        ("rediss://host", "rediss://host"),
        ("unix://:secret@/a/socket?db=3", "redis+socket://:secret@/a/socket?virtual_host=3"),
        ("unix:///a%20b/socket", "redis+socket:///a%20b/socket"),
    ],
)
def test_a_socket_is_named_as_kombu_does(redis_url: str, kombus: str) -> None:
    assert broker.url(redis_url) == kombus
