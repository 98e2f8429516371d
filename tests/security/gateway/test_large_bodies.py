"""No body of a mebibyte holds a gateway's loop, whatever is in it: meanwhile that serves nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from quickthaw_platform.gateway.requests import MOST_PARTS, MOST_PARTS_OF_FIELD
from quickthaw_platform.settings import Settings
from tests.made_up import examples
from tests.security.gateway.stretches import LONGEST_SECONDS, Stretches
from tests.unit.gateway.conftest import error_of
from tests.valkey_process import ValkeyProcess

BODY_BYTES = 1 << 20
PARTS = MOST_PARTS_OF_FIELD - 100

TURN = {"role": "user", "content": "x"}
EMPTY = {"role": "u", "content": ""}
TEXT = {"type": "text", "text": "x"}
CALLED = {"function": {"name": "f", "arguments": ""}}


@pytest.fixture(scope="module")
def settings(valkey: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(redis_url=valkey.url, data_dir=tmp_path_factory.mktemp("large"), max_body=BODY_BYTES)


def many(value: Any, most: int = BODY_BYTES) -> list[Any]:
    """Return a list of as many of a value as a body has room for, and at most so many."""
    return [value] * min(most, (BODY_BYTES - 500) // (len(packed(value)) + 1))


def names(value: Any) -> dict[str, Any]:
    """Return an object with as many fields of a value as a body has room for."""
    return {f"k{index}": value for index in range((BODY_BYTES - 500) // (len(packed(value)) + 11))}


def packed(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def listed(item: Any, parts: int) -> list[Any]:
    """Return as many of an item as a field may have, of which each has so many objects and lists."""
    return many(item, PARTS // parts)


def schema(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"k{index}": {} for index in range(count)}}


def tools(shape: Callable[[str, dict[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    return [shape(f"f{index}", schema(90)) for index in range(128)]


CHAT: list[Any] = [
    ({"messages": many({})}, 400),  # more objects than are taken
    ({"messages": many([])}, 400),
    ({"messages": listed({}, 1)}, 400),
    ({"messages": [{"role": "user", "content": listed({}, 1)}]}, 400),
    ({"messages": [{"role": "user", "content": many(1)}]}, 400),
    ({"messages": listed({"role": "function", "name": "f", "content": "x"}, 1)}, 200),  # looks back
    ({"messages": listed(TURN, 1)}, 200),
    ({"messages": listed(EMPTY, 1), "store": True}, 200),
    ({"messages": listed(EMPTY, 1), "stream": True}, 200),
    ({"messages": listed(TURN, 1), "compress": {"ratio": 0.5}}, 200),
    ({"messages": many({"role": "user", "content": "lorem ipsum " * 25}), "compress": {"ratio": 0.5}}, 200),
    ({"messages": [{"role": "user", "content": "\n" * 500_000}], "compress": {"ratio": 0.5}}, 200),
    ({"messages": [{"role": "u", "content": listed(TEXT, 1)}]}, 200),
    ({"messages": listed({"role": "u", "content": [TEXT]}, 3)}, 200),
    ({"messages": [TURN, {"role": "assistant", "tool_calls": listed(CALLED, 2)}]}, 200),
    ({"messages": listed({"role": "a", "function_call": CALLED["function"]}, 2)}, 200),
    ({"messages": [{**TURN, **names(None)}]}, 200),
    ({"messages": [TURN], **names(1)}, 400),
    ({"messages": [TURN], "documents": listed({}, 1)}, 200),
    ({"messages": [TURN], "chat_template_kwargs": {"a": listed([], 1)}}, 200),
    ({"messages": [TURN], "chat_template_kwargs": names(1)}, 200),
    ({"messages": [TURN], "guided_choice": many(1)}, 400),
    ({"messages": [TURN], "guided_json": {"enum": listed([], 1)}}, None),
    ({"messages": [TURN], "guided_json": schema(PARTS)}, None),
    ({"messages": [TURN], "logit_bias": listed([], 1)}, 400),
    ({"messages": [TURN], "logit_bias": names("x")}, 400),
    ({"messages": [TURN], "tools": tools(lambda name, parameters: {
        "type": "function", "function": {"name": name, "parameters": parameters}})}, 200),
]  # fmt: skip
RESPONSES: list[Any] = [
    ({"input": many(1)}, 400),
    ({"input": listed({"role": "user", "content": ""}, 1)}, 200),
    ({"input": [{"role": "user", "content": listed({"type": "input_text", "text": ""}, 1)}]}, 200),
    ({"input": listed({"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}, 1)}, 200),
    ({"input": listed({"type": "reasoning", "summary": []}, 2)}, 200),
    ({"input": listed({"type": "item_reference", "id": "x"}, 1)}, 400),
]
MESSAGES: list[Any] = [
    ({"messages": listed({}, 1)}, 400),
    ({"messages": [TURN], "system": listed({}, 1)}, 400),
    ({"messages": [{**TURN, **names(1)}]}, 400),
    ({"messages": listed(TURN, 1)}, 200),
    ({"messages": many({"role": "user", "content": "x" * 60})}, 200),  # one turn of them all
    ({"messages": [{"role": "user", "content": listed(TEXT, 1)}]}, 200),
    ({"messages": [TURN], "system": listed(TEXT, 1)}, 200),
    ({"messages": [TURN], "tools": tools(lambda name, parameters: {"name": name, "input_schema": parameters})}, 200),
]
OTHERS: list[Any] = [
    ("completions", {"prompt": many({})}, 400),
    ("completions", {"prompt": listed([1], 1)}, 400),
    ("completions", {"prompt": many(1)}, 200),
    ("completions", {"prompt": [many(1, 8000)] * 60}, 200),
    ("completions", {"prompt": ["x"] * 128, "guided_json": schema(PARTS)}, None),
    ("embeddings", {"model": "vectors", "input": many({})}, 400),
    ("embeddings", {"model": "vectors", "input": listed([1] * 20, 1)}, 500),  # the node here makes no vectors
    ("embeddings", {"model": "vectors", "input": many("")}, 500),
    ("functions/chat/invoke", {"input": {"messages": many({})}}, 400),
    ("functions/chat/invoke", {"input": {"messages": many({"role": "", "content": ""}, MOST_PARTS - 100)}}, 200),
    ("functions/chat/invoke", {"input": {"input": [many(1)]}}, 200),  # all of it fits: each element was looked at
    ("functions/chat/invoke", {"input": {"input": many([1], MOST_PARTS - 100)}}, 200),
    ("functions/chat/invoke", {"input": {"prompt": [*many(1), -1]}}, 400),
    ("functions/chat/invoke", {"input": {"messages": [TURN]}, "chat": {"documents": listed({}, 1)}}, 200),
    ("functions/chat/invoke", {"input": {"x": many([[]] * 10, MOST_PARTS // 11)}}, 400),
    ("functions/hand/invoke", {"input": {"p": many(1)}}, 200),
    ("functions/hand/invoke", {"input": {"p": [1 << 62, *many(1)]}}, 200),
    ("functions/hand/invoke", {"input": {"p": many([1.5, 2.25], MOST_PARTS - 100)}}, 200),
    ("functions/hand/invoke", {"input": {"p": "[{" * 500_000}}, 200),  # a text, with no objects in it
    ("functions", names(1), 400),
    ("functions", {"name": "x", "model": "tiny", "engine": "echo", "env": names("1")}, 400),
    ("functions", {"name": "x", "model": "tiny", "engine": "echo", "source": names("")}, 400),
    ("keys", names(1), 400),
]  # fmt: skip
CASES = [
    *(("chat/completions", *case) for case in CHAT),
    *(("responses", *case) for case in RESPONSES),
    *(("messages", {"max_tokens": 1, **fields}, status) for fields, status in MESSAGES),
    *OTHERS,
]


def sent(client: FlaskClient, path: str, fields: dict[str, Any]) -> Callable[[], TestResponse]:
    """Return what sends a body."""
    body = packed(fields if path.startswith(("functions", "keys")) else {"model": "chat", **fields})
    assert len(body) <= BODY_BYTES
    return lambda: client.post(f"/v1/{path}", data=body)


@pytest.mark.parametrize(
    ("path", "fields", "status"), CASES, ids=[f"{path}-{index}" for index, (path, *_) in enumerate(CASES)]
)
def test_no_body_holds_the_loop(
    client: FlaskClient, stretches: Stretches, path: str, fields: dict[str, Any], status: int | None
) -> None:
    send = sent(client, path, fields)
    answer, held = stretches.shortest(send)
    assert status is None or answer.status_code == status, answer.get_data()[:300]
    assert held < LONGEST_SECONDS


LEAVES = st.sampled_from([None, True, 0, -1, 1.5, 1 << 40, "", "x", "\n", "[{", '"\\', "\U0001f9ca", "text", "user"])
KEYS = st.sampled_from(["role", "content", "type", "text", "id", "name", "arguments", "function", "a", "$ref", "enum"])
ITEMS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=6,
)
PLACES: list[tuple[str, Callable[[Any], dict[str, Any]]]] = [
    ("chat/completions", lambda items: {"messages": items}),
    ("chat/completions", lambda items: {"messages": [{"role": "user", "content": items}]}),
    ("chat/completions", lambda items: {"messages": [TURN], "tools": items}),
    ("chat/completions", lambda items: {"messages": [TURN], "guided_json": {"enum": items}}),
    ("chat/completions", lambda items: {"messages": [TURN], "stop": items}),
    ("completions", lambda items: {"prompt": items}),
    ("embeddings", lambda items: {"model": "vectors", "input": items}),
    ("responses", lambda items: {"input": items}),
    ("responses", lambda items: {"input": "x", "metadata": dict(enumerate(items))}),
    ("messages", lambda items: {"max_tokens": 1, "messages": items}),
    ("messages", lambda items: {"max_tokens": 1, "messages": [{"role": "user", "content": items}]}),
    ("functions/chat/invoke", lambda items: {"input": {"messages": items}}),
    ("functions/hand/invoke", lambda items: {"input": {"p": items}}),
    ("functions/hand/invoke", lambda items: {"input": {"p": 1}, "chat": {"documents": items}}),
    ("functions", lambda items: {"name": "x", "model": "tiny", "engine": "echo", "options": {"a": items}}),
]


@pytest.mark.slow
def test_no_body_that_is_made_up_holds_the_loop(client: FlaskClient, stretches: Stretches) -> None:
    @hypothesis_settings(max_examples=examples(25), suppress_health_check=list(HealthCheck), deadline=None)
    @given(item=ITEMS, place=st.sampled_from(PLACES), most=st.sampled_from([MOST_PARTS_OF_FIELD, MOST_PARTS]))
    def try_one(item: Any, place: tuple[str, Callable[[Any], dict[str, Any]]], most: int) -> None:
        path, around = place
        count = min(BODY_BYTES, (BODY_BYTES - 500) // (len(packed(item)) + 12), most // max(1, parts_of(item)))
        answer, held = stretches.shortest(sent(client, path, around([item] * count)))
        assert answer.status_code in (200, 400, 500), answer.get_data()[:300]
        assert held < LONGEST_SECONDS

    try_one()


def parts_of(value: Any) -> int:
    """Return how many objects and lists a value has."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, dict | list) + sum(map(parts_of, inner))


@pytest.mark.parametrize(
    ("path", "fields", "param", "says"),
    [
        ("chat/completions", {"messages": many({})}, None, "the body has"),
        ("chat/completions", {"messages": [TURN] * 15_001}, "messages", "messages: has 15,002 objects and lists"),
        ("functions/chat/invoke", {"input": {}, "chat": {"documents": [{}] * 15_000}}, "chat", "chat: has 15,002"),
        ("keys", dict.fromkeys(map(str, range(1001)), 1), None, "the body has 1,001 fields; at most 1,000"),
    ],
)
def test_too_many_parts_are_refused_by_name(
    client: FlaskClient, path: str, fields: dict[str, Any], param: str | None, says: str
) -> None:
    error = error_of(sent(client, path, fields)())
    assert (error["param"], says in error["message"]) == (param, True), error


def test_more_faults_than_can_be_told_are_counted(client: FlaskClient) -> None:
    answer = client.post("/v1/keys", json={"name": "x", "quotas": dict.fromkeys(map(str, range(2000)), 1)})
    assert answer.status_code == 400
    assert error_of(answer)["message"] == "2,000 values do not fit: too many to name"


@pytest.mark.parametrize("path", ["chat/completions", "functions/chat/invoke", "functions", "responses", "messages"])
def test_what_nests_deeper_than_can_be_written_on_is_refused(client: FlaskClient, path: str) -> None:
    """A schema of 400 objects within each other was a fault of the gateway's own."""
    schema: dict[str, Any] = {}
    for _ in range(150):
        schema = {"type": "object", "properties": {"a": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body = {"model": "chat", "name": "x", "input": "x", "messages": [TURN], "tools": [tool], "max_tokens": 1}
    answer = client.post(f"/v1/{path}", json=body)
    assert (answer.status_code, "nested too deeply" in answer.get_data(as_text=True)) == (400, True)
