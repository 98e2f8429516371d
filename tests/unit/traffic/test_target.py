from __future__ import annotations

import json

import pytest

from quickthaw.config import Endpoint
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.traffic.target import Target


@pytest.mark.parametrize(
    ("url", "path", "address"),
    [
        ("http://h:1", "/v1/chat/completions", "http://h:1/v1/chat/completions"),
        ("http://h:1/", "/v1/completions", "http://h:1/v1/completions"),
        ("https://h/v1", "/v1/chat/completions", "https://h/v1/chat/completions"),  # as OpenAI's clients write it
        ("https://h/v1/", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/openai", "/chat/completions", "https://h/openai/chat/completions"),
    ],
)
def test_url_and_path_make_the_address(url: str, path: str, address: str) -> None:
    assert Target(url, "m", path).address == address


@pytest.mark.parametrize("url", ["h:1", "ftp://h", "http://", "", "/v1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="not the URL of an endpoint"):
        Target(url, "m")


def test_a_function_is_asked_with_the_clients_key_for_just_as_many_tokens() -> None:
    target = Target.quickthaw(Endpoint("http://h:1", "sk-1"), "chat:blue")
    assert target.all_headers()["Authorization"] == "Bearer sk-1"
    body = json.loads(target.body("hello", 7))
    assert (body["model"], body["max_tokens"], body["ignore_eos"]) == ("chat:blue", 7, True)
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert "sk-1" not in repr(target)


def test_no_key_is_no_header() -> None:
    assert "Authorization" not in Target("http://h", "m").all_headers()
