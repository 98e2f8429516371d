"""What is wrong with a request is told by its own fields: no names of Python's or of ours, in any API."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

USER = {"role": "user", "content": "hi"}
CHAT = {"model": "chat", "messages": [USER]}
MESSAGES = {"model": "chat", "max_tokens": 4, "messages": [USER]}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": 5}
NATIVE = {"input": {"prompt": "a"}}
SPEC = {"name": "x", "model": "tiny", "engine": "echo"}
INNER = re.compile(r"instance of|tuple|dictionary|extract|unable to|\[key\]|[a-z]\[|constrained|pydantic", re.I)


@pytest.mark.parametrize("value", [5, [5], {"a": 1}, [None], True, "x"])
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("chat/completions", CHAT, "stop"),
        ("chat/completions", CHAT, "messages"),
        ("chat/completions", CHAT, "tool_choice"),
        ("chat/completions", CHAT, "function_call"),
        ("chat/completions", CHAT, "logit_bias"),
        ("chat/completions", CHAT, "response_format"),
        ("chat/completions", CHAT, "structured_outputs"),
        ("chat/completions", CHAT, "tools"),
        ("chat/completions", CHAT, "metadata"),
        ("completions", {"model": "chat"}, "prompt"),
        ("embeddings", {"model": "chat"}, "input"),
        ("responses", {"model": "chat"}, "input"),
        ("responses", {"model": "chat", "input": "a"}, "tool_choice"),
        ("responses", {"model": "chat", "input": "a"}, "text"),
        ("messages", MESSAGES, "messages"),
        ("messages", MESSAGES, "system"),
        ("messages", MESSAGES, "tool_choice"),
        ("messages", MESSAGES, "tools"),
        ("functions/chat/invoke", NATIVE, "sampling"),
        ("functions/chat/invoke", NATIVE, "webhook"),
        ("functions", SPEC, "labels"),
        ("functions", SPEC, "tools"),
        ("functions", SPEC, "limits"),
        ("keys", {"name": "x"}, "scopes"),
    ],
)
def test_no_inner_names_are_told(client: FlaskClient, path: str, body: dict[str, Any], field: str, value: Any) -> None:
    answer = client.post(f"/v1/{path}", json={**body, field: value})
    if answer.status_code < 400:
        return
    error = answer.get_json()["error"]
    assert not INNER.search(error["message"]), error["message"]
    assert not INNER.search(error.get("param") or "")
    said = error["message"].split("; ")
    assert len(said) == len(set(said))


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (
            "messages",
            {**MESSAGES, "messages": [{"role": "user", "content": [RESULT]}]},
            "messages.0.content.0.content: Input should be a valid list",
        ),
        (
            "messages",
            {**MESSAGES, "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages.0.content.0.text: Field required",
        ),
        ("messages", {**MESSAGES, "system": [{"type": "text"}]}, "system.0.text: Field required"),
        (
            "functions/chat/invoke",
            {**NATIVE, "sampling": {"logit_bias": {"a": 1}}},
            "sampling.logit_bias.a: Input should be a valid integer",
        ),
        ("completions", {"model": "chat", "prompt": 5}, "prompt: Input should be a valid string; prompt: Input "),
    ],
)
def test_a_field_is_named_by_its_path(client: FlaskClient, path: str, body: dict[str, Any], said: str) -> None:
    assert client.post(f"/v1/{path}", json=body).get_json()["error"]["message"].startswith(said)
