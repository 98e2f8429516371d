"""What an API key may use: counted, told and enforced."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from quickthaw.resources import Scope
from quickthaw_platform.worker import commands
from tests.unit.gateway.conftest import error_of
from tests.unit.gateway.node import FakeNode

INPUT = {"input": {"prompt": "hi"}}


def test_a_request_quota_is_counted_told_and_enforced(
    client: FlaskClient, client_of: Callable[..., FlaskClient]
) -> None:
    limited = client_of(Scope.INVOKE, requests="2 per hour")
    first = limited.post("/v1/functions/chat/invoke", json=INPUT)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"]
    assert limited.get("/v1/models").status_code == 200  # looking costs nothing
    assert limited.post("/v1/functions/chat/invoke", json=INPUT).status_code == 200
    refused = limited.post("/v1/functions/chat/invoke", json=INPUT)
    assert refused.status_code == 429
    assert error_of(refused)["type"] == "rate_limit_error"
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert refused.headers["x-should-retry"] == "false"  # nobody waits for an hour
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    other = client_of(Scope.INVOKE, requests="2 per hour")
    assert other.post("/v1/functions/chat/invoke", json=INPUT).status_code == 200


@pytest.mark.parametrize("rate", ["1 per hour; 1 per 1 hour", "1000000000 per 10 years"])
def test_a_rate_that_is_named_twice_counts_once_and_the_largest_can_be_counted(
    client: FlaskClient, client_of: Callable[..., FlaskClient], rate: str
) -> None:
    assert client_of(Scope.INVOKE, requests=rate).post("/v1/functions/chat/invoke", json=INPUT).status_code == 200


def test_a_token_quota_counts_what_calls_used_however_they_were_made(
    client: FlaskClient, client_of: Callable[..., FlaskClient]
) -> None:
    limited = client_of(Scope.INVOKE, tokens_per_minute=12)  # a call uses 5
    first = limited.post("/v1/functions/chat/invoke", json=INPUT)
    assert first.headers["x-ratelimit-limit-tokens"] == "12"
    limited.post("/v1/functions/chat/async", json=INPUT)
    third = limited.post("/v1/functions/chat/stream", json=INPUT)
    assert third.headers["x-ratelimit-remaining-tokens"] == "2"
    _ = third.data
    refused = limited.post("/v1/functions/chat/invoke", json=INPUT)
    assert refused.status_code == 429
    assert "12 tokens per minute" in error_of(refused)["message"]
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["x-should-retry"] == "true"


def test_a_refused_call_reaches_no_node(
    client: FlaskClient, client_of: Callable[..., FlaskClient], node: FakeNode
) -> None:
    limited = client_of(Scope.INVOKE, requests="1 per hour")
    limited.post("/v1/functions/chat/invoke", json=INPUT)
    sent = len(node.sent)
    limited.post("/v1/functions/chat/invoke", json=INPUT)
    assert len(node.sent) == sent
    assert node.told(commands.CANCEL) == []
