"""Webhooks: signed, delivered once, tried again, given up; the receiver is a real server on loopback."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from quickthaw_platform.gateway.webhook_delivery import (
    AT_ONCE_TO_A_HOST,
    ATTEMPTS_KEY,
    CROWDED_SECONDS,
    WEBHOOKS_KEY,
    WebhookDelivery,
)
from quickthaw_platform.gateway.webhooks import retry_seconds, signature
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings
from tests.state import rewind
from tests.unit.gateway.node import FakeNode

SECRET = "a long secret"


class Receiver(ThreadingHTTPServer):
    """Takes what is posted and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("location", f"http://127.0.0.1:{self.server.server_address[1]}/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def delivery(redis: Redis, settings: Settings, node: FakeNode) -> Iterator[WebhookDelivery]:
    found = WebhookDelivery(redis, node.store, settings)
    yield found
    found.close()


def call(client: FlaskClient, url: str, secret: str | None = SECRET) -> str:
    body = {"input": {"prompt": "hi"}, "webhook": {"url": url, "secret": secret}}
    return client.post("/v1/functions/chat/async", json=body).headers["x-invocation-id"]


def test_the_end_of_a_call_is_reported_and_signed(
    client: FlaskClient, receiver: Receiver, delivery: WebhookDelivery, redis: Redis
) -> None:
    invocation = call(client, receiver.url)
    assert delivery.start_due() == 1
    delivery.close()
    ((headers, body),) = receiver.got
    assert json.loads(body)["result"] == "Hello world"
    assert headers["x-invocation-id"] == invocation
    stamp, signed = (part.split("=", 1)[1] for part in headers["x-quickthaw-signature"].split(","))
    assert signed == hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, sha256).hexdigest()
    assert redis.zcard(WEBHOOKS_KEY) == 0
    assert delivery.start_due() == 0


def test_without_a_secret_nothing_is_signed(client: FlaskClient, receiver: Receiver, delivery: WebhookDelivery) -> None:
    call(client, receiver.url, None)
    delivery.start_due()
    delivery.close()
    assert "x-quickthaw-signature" not in receiver.got[0][0]


def test_a_refused_delivery_is_tried_again_later_and_given_up_in_the_end(
    client: FlaskClient, receiver: Receiver, delivery: WebhookDelivery, redis: Redis
) -> None:
    receiver.status = 500
    invocation = call(client, receiver.url)
    delivery.deliver(invocation)
    assert delivery.start_due() == 0  # not due yet
    assert redis.hget(ATTEMPTS_KEY, invocation) == "1"
    rewind(redis, WEBHOOKS_KEY, invocation, retry_seconds(1))
    delivery.deliver(invocation)  # the second of the two that the settings allow
    assert redis.zcard(WEBHOOKS_KEY) == 0
    assert redis.hlen(ATTEMPTS_KEY) == 0
    assert len(receiver.got) == 2


def test_a_claim_that_was_never_settled_comes_up_again(
    client: FlaskClient, receiver: Receiver, delivery: WebhookDelivery, redis: Redis, settings: Settings, node: FakeNode
) -> None:
    invocation = call(client, receiver.url)
    died = WebhookDelivery(redis, node.store, settings)
    assert died._claim(keys=[WEBHOOKS_KEY], args=[8, 60]) == [invocation]  # and then its process is killed
    died.close()
    assert delivery.start_due() == 0
    rewind(redis, WEBHOOKS_KEY, invocation, 61)
    assert delivery.start_due() == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/", "http://xn--a/"])
def test_an_address_that_cannot_be_reached_is_a_failed_delivery(
    client: FlaskClient, delivery: WebhookDelivery, redis: Redis, url: str
) -> None:
    invocation = call(client, "http://127.0.0.1:1/")
    webhook = {"url": url, "secret": None}  # as one that was taken by an older release
    redis.hset(RedisKey.INVOCATION.of(invocation), "webhook", json.dumps(webhook))
    delivery.deliver(invocation)
    assert list(redis.hgetall(ATTEMPTS_KEY).values()) == ["1"]


@pytest.mark.parametrize(
    "url",
    [
        *("http://169.254.169.254/latest", "http://10.0.0.1:80/", "https://[::1]/", "http://[::1/"),
        *("https://", "http:///path", "http://exa mple.com/", "http://a..example/", f"http://{'a' * 64}.example/"),
        *("http://203.0.113.9:99999/", "http://example.com:0/", "http://xn--a/", "http://%31/"),
    ],
)
def test_an_address_that_no_delivery_may_reach_is_refused_with_the_call(client: FlaskClient, url: str) -> None:
    answer = client.post("/v1/functions/chat/async", json={"input": {"prompt": "hi"}, "webhook": {"url": url}})
    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == "webhook.url"


def test_a_name_that_leads_to_an_address_of_the_platforms_network_is_not_followed(
    client: FlaskClient, receiver: Receiver, redis: Redis, settings: Settings, node: FakeNode
) -> None:
    invocation = call(client, receiver.url.replace("127.0.0.1", "localhost"))
    with closing(WebhookDelivery(redis, node.store, settings.model_copy(update={"webhook_allow": ()}))) as strict:
        strict.deliver(invocation)
    assert receiver.got == []
    assert redis.hget(ATTEMPTS_KEY, invocation) == "1"


def test_one_receiver_takes_up_no_more_than_its_share_and_loses_no_try_by_it(
    client: FlaskClient, receiver: Receiver, delivery: WebhookDelivery, redis: Redis
) -> None:
    crowded, free = call(client, receiver.url), call(client, receiver.url.replace("127.0.0.1", "localhost"))
    with ExitStack() as others:
        for _ in range(AT_ONCE_TO_A_HOST):
            assert others.enter_context(delivery._to_hosts.one("127.0.0.1"))
        delivery.deliver(crowded)
        delivery.deliver(free)
    assert [json.loads(body)["id"] for _, body in receiver.got] == [free]
    assert redis.hget(ATTEMPTS_KEY, crowded) is None
    rewind(redis, WEBHOOKS_KEY, crowded, CROWDED_SECONDS)
    delivery.deliver(crowded)
    assert len(receiver.got) == 2


def test_redirects_are_not_followed(client: FlaskClient, receiver: Receiver, delivery: WebhookDelivery) -> None:
    receiver.status = 307
    delivery.deliver(call(client, receiver.url))
    assert len(receiver.got) == 1


def test_a_record_that_has_expired_is_dropped(delivery: WebhookDelivery, redis: Redis) -> None:
    redis.zadd(WEBHOOKS_KEY, {"gone": 1.0})
    delivery.deliver("gone")
    assert redis.zcard(WEBHOOKS_KEY) == 0


def test_the_pauses_grow_and_stay_below_ten_minutes() -> None:
    assert [retry_seconds(n) for n in range(1, 8)] == [2, 8, 32, 128, 512, 600, 600]


def test_a_signature_as_the_document_shows_it() -> None:
    assert signature("secret", 1, b"{}") == ("t=1,v1=" + hmac.new(b"secret", b"1.{}", sha256).hexdigest())
