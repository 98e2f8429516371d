"""The gateway answers to its own names only, so that no page can make a name of its own lead to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from redis import Redis

from quickthaw_platform.gateway.services import EXTENSION
from quickthaw_platform.settings import Settings
from tests.unit.gateway.conftest import ECHO, Relay

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.fixture(scope="module")
def named(settings: Settings, relay: Relay) -> Iterator[FlaskClient]:
    """A gateway that is called by two names."""
    more = {"host": "0.0.0.0", "allowed_hosts": ("llm.example.com", ".lan.example")}
    with Redis.from_url(str(settings.redis_url), decode_responses=True) as redis:
        app = relay.app(settings.model_copy(update=more), redis)
        yield app.test_client()
        app.extensions[EXTENSION].close()


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8080", "qt.localhost", "127.0.0.1:8080", "[::1]:8080", "192.168.1.5", "10.0.0.1:1"),
        *("llm.example.com", "LLM.example.com:443", "a.lan.example"),
    ],
)
def test_it_answers_to_its_names_and_to_addresses(named: FlaskClient, host: str) -> None:
    assert named.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("rebind.evil.example", "evil.example:8080", "localhost.evil.example", "llm.example.com.evil.example", "x"),
        *("example.com", "alan.example", "127.0.0.1.nip.io", "evil.example@127.0.0.1", "0x7f.1", "[::1", "", "a b"),
        "localhost, evil.example",
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_it_answers_to_no_other_name(named: FlaskClient, host: str, method: str) -> None:
    answer = named.open("/healthz", method=method, headers={"Host": host})
    assert answer.status_code == 403
    if method != "HEAD":
        assert answer.get_json()["error"]["code"] == "unknown_host"
        assert "QUICKTHAW_ALLOWED_HOSTS" in answer.get_json()["error"]["message"]


def test_a_key_opens_no_door_by_another_name(client: FlaskClient) -> None:
    answer = client.post("/v1/functions", json=ECHO, headers={"Host": "rebind.evil.example"})
    assert answer.status_code == 403
