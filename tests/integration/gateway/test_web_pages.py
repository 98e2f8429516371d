"""What a web page gets of the real server: preflights, streams as they come, errors, and compressed bodies."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.gateway.conftest import PAGE
from tests.integration.gateway.processes import GatewayProcess, headers
from tests.patience import PATIENCE_SECONDS

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
ALLOWED = "Access-Control-Allow-Origin"

pytestmark = pytest.mark.slow


def test_a_page_asks_first_and_then_streams(gateway: GatewayProcess, key: str) -> None:
    url = f"{gateway.url}/v1/chat/completions"
    first = httpx.options(url, headers=PREFLIGHT)
    assert (first.status_code, first.headers[ALLOWED]) == (204, PAGE)
    with httpx.stream("POST", url, json=CHAT, headers=headers(key, Origin=PAGE), timeout=PATIENCE_SECONDS) as answer:
        assert (answer.status_code, answer.headers[ALLOWED]) == (200, PAGE)
        assert "[DONE]" in answer.read().decode()


def test_a_page_can_read_the_error_of_a_body_that_is_too_large(gateway: GatewayProcess, key: str) -> None:
    answer = httpx.post(
        f"{gateway.url}/v1/chat/completions", content=b"x" * (2 << 20), headers=headers(key, Origin=PAGE), timeout=30
    )
    assert (answer.status_code, answer.headers[ALLOWED]) == (413, PAGE)


@pytest.mark.parametrize("announced", [True, False])
def test_a_compressed_body_is_read_whether_its_length_is_announced_or_not(
    gateway: GatewayProcess, key: str, announced: bool
) -> None:
    packed = gzip.compress(json.dumps({**CHAT, "stream": False}).encode())

    def pieces() -> Iterator[bytes]:
        yield packed[:10]
        yield packed[10:]

    answer = httpx.post(
        f"{gateway.url}/v1/chat/completions",
        content=packed if announced else pieces(),
        headers=headers(key, **{"Content-Encoding": "gzip"}),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("announced", [True, False])
def test_a_bomb_is_refused_and_the_gateway_lives(gateway: GatewayProcess, key: str, announced: bool) -> None:
    packed = gzip.compress(b" " * (256 << 20))
    answer = httpx.post(
        f"{gateway.url}/v1/chat/completions",
        content=packed if announced else iter([packed]),
        headers=headers(key, **{"Content-Encoding": "gzip"}),
        timeout=60,
    )
    assert answer.status_code == 413
    assert gateway.healthy()
