"""Every call of both clients: what is sent, and what comes back."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from quickthaw import (
    AsyncClient,
    AuthenticationFailed,
    ChatOptions,
    Client,
    FunctionNotFound,
    FunctionSpec,
    InvalidRequest,
    QuickthawError,
    Sampling,
    resources,
)
from tests.unit.sdk.api_answers import (
    ALIAS,
    CHECKPOINT,
    DELETED,
    FUNCTION,
    INSTANCE,
    KEY,
    LINE,
    NODE,
    RESULT,
    VERSION,
    listed,
)
from tests.unit.sdk.fake_gateway import INVOCATION, URL, FakeGateway, failed

Call = Callable[..., Any]

SPEC = FunctionSpec(name="chat", model="smollm2-135m-instruct")

CALLS: list[tuple[str, tuple[Any, ...], str, Any, Any]] = [
    # method, arguments, request line, body sent, answer
    ("functions", (), "GET /v1/functions", None, listed(FUNCTION)),
    ("function", ("chat",), "GET /v1/functions/chat", None, FUNCTION),
    ("deploy", (SPEC,), "POST /v1/functions?alias=live", SPEC.model_dump(mode="json"), VERSION),
    ("deploy", (SPEC, "next"), "POST /v1/functions?alias=next", SPEC.model_dump(mode="json"), VERSION),
    ("delete_function", ("chat",), "DELETE /v1/functions/chat", None, DELETED),
    ("versions", ("chat",), "GET /v1/functions/chat/versions", None, listed(VERSION)),
    ("aliases", ("chat",), "GET /v1/functions/chat/aliases", None, listed(ALIAS)),
    (
        "set_alias", ("chat", "live", {"1": 0.9, "2": 0.1}),
        "PUT /v1/functions/chat/aliases/live", {"weights": {"1": 0.9, "2": 0.1}, "require": []}, ALIAS,
    ),
    (
        "set_alias", ("chat", "live", {"2": 1.0}, ["bleu>=1"]),
        "PUT /v1/functions/chat/aliases/live", {"weights": {"2": 1.0}, "require": ["bleu>=1"]}, ALIAS,
    ),
    (
        "deploy", (SPEC, "live", ["a<=1", "b>=2"]),
        "POST /v1/functions?alias=live&require=a%3C%3D1&require=b%3E%3D2", SPEC.model_dump(mode="json"), VERSION,
    ),
    ("delete_alias", ("chat", "next"), "DELETE /v1/functions/chat/aliases/next", None, DELETED),
    ("rollback", ("chat",), "POST /v1/functions/chat/rollback", {"alias": "live", "version": None}, ALIAS),
    ("rollback", ("chat", "a", "v1"), "POST /v1/functions/chat/rollback", {"alias": "a", "version": "v1"}, ALIAS),
    ("secrets", ("chat",), "GET /v1/functions/chat/secrets", None, listed({"name": "TOKEN"})),
    ("set_secret", ("chat", "TOKEN", "x"), "PUT /v1/functions/chat/secrets/TOKEN", {"value": "x"}, {"name": "TOKEN"}),
    ("delete_secret", ("chat", "TOKEN"), "DELETE /v1/functions/chat/secrets/TOKEN", None, DELETED),
    ("logs", ("chat",), "GET /v1/functions/chat/logs", None, listed(LINE)),
    ("logs", ("chat", "1-0"), "GET /v1/functions/chat/logs?after=1-0", None, listed()),
    ("logs", ("chat", None, 5), "GET /v1/functions/chat/logs?limit=5", None, listed(LINE)),
    ("invoke", ("chat", {"a": 1}), "POST /v1/functions/chat/invoke", {"input": {"a": 1}}, INVOCATION),
    ("status", ("inv-1",), "GET /v1/invocations/inv-1", None, INVOCATION),
    ("cancel", ("inv-1",), "DELETE /v1/invocations/inv-1", None, INVOCATION),
    ("nodes", (), "GET /v1/nodes", None, listed(NODE)),
    ("drain_node", ("n1",), "POST /v1/nodes/n1/drain", None, NODE),
    ("instances", (), "GET /v1/instances", None, listed(INSTANCE)),
    ("stop_instance", ("i1",), "DELETE /v1/instances/i1", None, DELETED),
    ("checkpoints", (), "GET /v1/checkpoints", None, listed(CHECKPOINT)),
    ("checkpoint", ("m",), "GET /v1/checkpoints/m", None, CHECKPOINT),
    ("pull_checkpoint", ("m", "n1"), "POST /v1/checkpoints/m/pull", {"node": "n1"}, CHECKPOINT),
    (
        "evict_checkpoint", ("m", "n1", "disk"), "POST /v1/checkpoints/m/evict", {"node": "n1", "tier": "disk"},
        CHECKPOINT,
    ),
    ("move_checkpoint", ("m", "ab" * 32), "POST /v1/checkpoints/m/move", {"signer": "ab" * 32}, CHECKPOINT),
    ("delete_checkpoint", ("m",), "DELETE /v1/checkpoints/m", None, DELETED),
    ("results", ("m",), "GET /v1/checkpoints/m/results", None, listed(RESULT.model_dump(mode="json"))),
    (
        "record_result", ("m", RESULT),
        "POST /v1/checkpoints/m/results", RESULT.model_dump(mode="json"), RESULT.model_dump(mode="json"),
    ),
    ("keys", (), "GET /v1/keys", None, listed(KEY)),
    (
        "create_key", ("ci", ("invoke",), {"requests": "40 per 3 hours"}, 3.0), "POST /v1/keys",
        {
            "name": "ci", "scopes": ["invoke"], "weight": 3.0,
            "quotas": resources.Quotas(requests="40 per 3 hours").model_dump(mode="json"),
        },
        {**KEY, "key": "qt-secret"},
    ),
    ("revoke_key", ("k1",), "DELETE /v1/keys/k1", None, DELETED),
    # a name is one path segment, whatever is in it
    ("function", ("a/b?c",), "GET /v1/functions/a%2Fb%3Fc", None, FUNCTION),
]  # fmt: skip


@pytest.mark.parametrize(("method", "args", "line", "body", "answer"), CALLS, ids=lambda v: v if type(v) is str else "")
def test_a_call_sends_what_the_table_says_and_returns_a_typed_record(
    call: Call, method: str, args: tuple[Any, ...], line: str, body: Any, answer: Any
) -> None:
    gateway = FakeGateway([httpx.Response(200, json=answer)])
    value = call(gateway, method, *args)
    assert gateway.lines == [line]
    assert (gateway.body() if gateway.requests[0].content else None) == body
    expected = answer["data"] if answer.get("object") == "list" else answer
    assert _covers(value, expected)


def _covers(value: Any, expected: Any) -> bool:
    if expected == DELETED:
        return value is None
    if isinstance(expected, list):
        return len(value) == len(expected) and all(map(_covers, value, expected))
    dumped = value.model_dump(mode="json")
    return all(dumped[name] == found for name, found in expected.items() if name != "spec")


def test_every_public_call_is_in_the_table_of_the_api() -> None:
    known = {" ".join(line.split()[:2]) for line in _table_lines()}
    for _, _, line, _, _ in CALLS:
        path = line.split("?")[0]
        assert any(re.fullmatch(pattern, path) for pattern in map(_as_pattern, known)), path


def _table_lines() -> list[str]:
    rows = re.findall(r"^\| ((?:GET|POST|PUT|DELETE) +\S+)", resources.__doc__ or "", re.MULTILINE)
    assert len(rows) >= 28
    return [" ".join(row.split()).split("?")[0] for row in rows]


def _as_pattern(line: str) -> str:
    return re.sub(r"\{\w+\}", "[^/ ]+", line)


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    def shape(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(m).parameters) for name, m in methods if not name.startswith("_")}

    assert shape(Client) == shape(AsyncClient)


def test_the_api_key_is_sent_as_bearer_and_not_shown(call: Call) -> None:
    gateway = FakeGateway([httpx.Response(200, json=listed())])
    call(gateway, "functions")
    assert gateway.requests[0].headers["authorization"] == "Bearer qt-key"
    assert "qt-key" not in repr(Client(URL, "qt-key").endpoint)


def test_a_call_carries_only_the_fields_that_were_set(call: Call) -> None:
    gateway = FakeGateway([httpx.Response(200, json=INVOCATION)])
    call(
        gateway, "invoke", "chat", {"prompt": "x"},
        sampling={"temperature": 0}, limits={"total": "5m"}, alias="next", webhook={"url": "https://h.test/x"},
    )  # fmt: skip
    assert gateway.body() == {
        "input": {"prompt": "x"},
        "sampling": {"temperature": 0.0},
        "limits": {"total": 300.0},
        "alias": "next",
        "webhook": {"url": "https://h.test/x"},
    }


class City(BaseModel):
    name: str


def add(a: int) -> int:
    """Add."""
    return a


def test_a_call_carries_tools_and_the_shape_of_the_answer(call: Call) -> None:
    gateway = FakeGateway([httpx.Response(200, json=INVOCATION)])
    call(
        gateway, "invoke", "chat", {},
        sampling=Sampling(seed=1), response_format=City, chat={"tools": [add], "tool_choice": "add"},
    )  # fmt: skip
    sent = gateway.body()
    schema = {"type": "object", "additionalProperties": False, "title": "City", "required": ["name"]}
    assert sent["sampling"].pop("structure")["json_schema"] == {
        **schema,
        "properties": {"name": {"title": "Name", "type": "string"}},
    }
    assert sent["sampling"] == {"seed": 1}
    assert [made["function"]["name"] for made in sent["chat"].pop("tools")] == ["add"]
    assert sent["chat"] == {"tool_choice": "required", "allowed_tools": ["add"], "parallel_tool_calls": False}


def test_chat_options_of_a_record_are_those_that_were_set(call: Call) -> None:
    gateway = FakeGateway([httpx.Response(200, json=INVOCATION)])
    call(gateway, "invoke", "chat", {}, chat=ChatOptions(tool_choice="none"), response_format={"type": "text"})
    assert gateway.body() == {"input": {}, "chat": {"tool_choice": "none"}, "sampling": {}}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"chat": {"tool_choise": "none"}}, "chat.tool_choise"),
        ({"chat": {"tool_choice": {}}}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": City, "sampling": {"structure": {"regex": "a"}}}, "response_format and structure"),
        ({"sampling": {"temperature": 9}}, "sampling.temperature"),
        ({"sampling": {"heat": 1}}, "sampling.heat"),
        ({"alias": "No Spaces"}, "alias"),
        ({"webhook": {"url": "ftp://x"}}, "webhook.url"),
        ({"limits": {"total": "soon"}}, "limits.total"),
    ],
)
def test_what_cannot_be_sent_fails_here_and_names_the_field(call: Call, options: Any, field: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(field)):
        call(FakeGateway([]), "invoke", "chat", {}, **options)


def test_input_that_json_cannot_carry_is_an_invalid_request(call: Call) -> None:
    with pytest.raises(InvalidRequest, match="JSON"):
        call(FakeGateway([]), "invoke", "chat", {"x": float("nan")})


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (failed(404, "model_not_found", "no function is called 'caht'; known: chat"), FunctionNotFound, "known: chat"),
        (failed(401, "invalid_api_key"), AuthenticationFailed, "no"),
        (failed(418, "teapot"), QuickthawError, "no"),
        (httpx.Response(500, text="<html>nginx"), QuickthawError, "is this a quickthaw gateway.*nginx"),
        (httpx.Response(500, json=["x"]), QuickthawError, "without an error object"),
        (httpx.Response(200, text="hello"), QuickthawError, "not JSON"),
        (httpx.Response(200, json={"name": "chat"}), QuickthawError, "does not fit this client"),
        (httpx.Response(302, headers={"location": "/login"}), QuickthawError, "HTTP 302"),
    ],
)
def test_an_answer_that_is_no_answer_becomes_an_error_of_the_tree(
    call: Call, reply: httpx.Response, kind: type[QuickthawError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        call(FakeGateway([reply]), "function", "chat")


@pytest.mark.parametrize(
    ("key", "told"),
    [("qt-old", "not valid"), (None, r"no API key is known for http://gateway\.test:8080: set")],
)
def test_a_client_without_a_key_is_told_how_to_have_one(
    key: str | None, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUICKTHAW_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("QUICKTHAW_API_KEY", raising=False)
    gateway = FakeGateway([failed(401, "invalid_api_key", "the API key is not valid")])
    with Client(URL, key, transport=gateway.transport) as client, pytest.raises(AuthenticationFailed, match=told):
        client.functions()


def test_fields_that_a_newer_gateway_adds_are_ignored(call: Call) -> None:
    answer = {**FUNCTION, "colour": "blue"}
    assert call(FakeGateway([httpx.Response(200, json=answer)]), "function", "chat").name == "chat"
    nested = {**VERSION, "spec": {**VERSION["spec"], "colour": "blue"}}  # type: ignore[dict-item]  # a literal above
    assert call(FakeGateway([httpx.Response(200, json=listed(nested))]), "versions", "chat")[0].spec.name == "chat"
