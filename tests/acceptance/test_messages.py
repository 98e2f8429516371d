"""Anthropic's Messages API on a whole platform, with the echo engine: what the last user message says comes back."""

from __future__ import annotations

import json
from typing import Any

import httpx

from quickthaw.sse import SSEParser
from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.test_kills import instances_of
from tests.patience import PATIENCE_SECONDS

TOOL = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
LONG_CALL = CALL.replace("Köln", "Köln" * 25)


def ask(cluster: Cluster, text: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "echo", "max_tokens": 500, "messages": [{"role": "user", "content": text}], **fields}
    headers = {"x-api-key": cluster.api_key, "anthropic-version": "2023-06-01"}
    answer = httpx.post(f"{cluster.url}/v1/messages", headers=headers, json=body, timeout=60)
    found: dict[str, Any] = answer.json()
    assert answer.status_code == 200, found
    return found


def stream(cluster: Cluster, text: str, **fields: Any) -> list[dict[str, Any]]:
    body = {"model": "echo", "max_tokens": 500, "messages": [{"role": "user", "content": text}], "stream": True}
    headers = {"x-api-key": cluster.api_key}
    answer = httpx.post(f"{cluster.url}/v1/messages", headers=headers, json={**body, **fields}, timeout=60)
    return [json.loads(event.data) for event in SSEParser().feed(answer.content)]


def test_a_message_comes_back_with_its_tokens_counted(cluster: Cluster) -> None:
    answer = ask(cluster, "Hello")
    assert answer["content"] == [{"type": "text", "text": "Hello"}]
    assert answer["stop_reason"] == "end_turn"
    count = httpx.post(
        f"{cluster.url}/v1/messages/count_tokens",
        headers={"x-api-key": cluster.api_key},
        json={"model": "echo", "messages": [{"role": "user", "content": "Hello"}]},
        timeout=60,
    ).json()
    assert count == {"input_tokens": answer["usage"]["input_tokens"] + answer["usage"]["cache_read_input_tokens"]}


def test_the_stop_sequence_that_ended_it_is_named(cluster: Cluster) -> None:
    answer = ask(cluster, "one END two STOP", stop_sequences=["STOP", "END"])
    assert answer["content"][0]["text"] == "one "
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")


def test_a_call_of_a_tool_has_its_input_parsed_and_its_result_goes_back(cluster: Cluster) -> None:
    answer = ask(cluster, CALL, tools=[TOOL])
    (use,) = [block for block in answer["content"] if block["type"] == "tool_use"]
    assert (use["name"], use["input"]) == ("weather", {"city": "Köln"})
    assert answer["stop_reason"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": "rain"}
    turns = [
        {"role": "user", "content": CALL},
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": [result, {"type": "text", "text": "And tomorrow?"}]},
    ]
    assert ask(cluster, "", messages=turns, tools=[TOOL])["content"][0]["text"] == "And tomorrow?"


def test_a_streamed_call_adds_up_to_the_whole_one(cluster: Cluster) -> None:
    events = stream(cluster, CALL, tools=[TOOL])
    parts = [e["delta"]["partial_json"] for e in events if e.get("delta", {}).get("type") == "input_json_delta"]
    assert len(parts) > 1
    assert json.loads("".join(parts)) == {"city": "Köln"}
    (delta,) = [event for event in events if event["type"] == "message_delta"]
    assert delta["delta"]["stop_reason"] == "tool_use"
    assert events[-1] == {"type": "message_stop"}


def test_any_tool_must_be_called_whatever_the_model_would_say(cluster: Cluster) -> None:
    answer = ask(cluster, "no call", tools=[TOOL], tool_choice={"type": "any"})
    assert [block["type"] for block in answer["content"]] == ["tool_use"]
    assert set(answer["content"][0]["input"]) == {"city"}


def test_thoughts_are_a_block_of_their_own(cluster: Cluster) -> None:
    answer = ask(cluster, "<think>Hm.</think>So.", thinking={"type": "enabled", "budget_tokens": 1024})
    assert [(block["type"], block.get("thinking") or block.get("text")) for block in answer["content"]] == [
        ("thinking", "Hm."),
        ("text", "So."),
    ]


def test_an_answer_follows_a_schema(cluster: Cluster) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    answer = ask(cluster, "whatever", output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(answer["content"][0]["text"])["a"] in (1, 2)


def test_a_prefill_is_continued(cluster: Cluster) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hel"}]
    assert ask(cluster, "", messages=turns)["stop_reason"] == "end_turn"


def test_a_schema_that_cannot_be_followed_is_refused_by_its_path(cluster: Cluster) -> None:
    tool = {**TOOL, "input_schema": {"type": "object", "properties": {"a": {"$ref": "http://example.org/x"}}}}
    answer = httpx.post(
        f"{cluster.url}/v1/messages",
        headers={"x-api-key": cluster.api_key},
        json={"model": "echo", "max_tokens": 5, "messages": [{"role": "user", "content": "a"}], "tools": [tool]},
        timeout=60,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "tools.0.input_schema" in answer.json()["error"]["message"]


def test_a_call_of_a_tool_whose_process_is_killed_goes_on_where_it_was(cluster: Cluster) -> None:
    undisturbed = [event for event in stream(cluster, LONG_CALL, tools=[TOOL]) if event["type"] != "ping"]
    turns = [{"role": "user", "content": LONG_CALL}]
    body = {"model": "slow", "max_tokens": 500, "messages": turns, "stream": True, "tools": [TOOL]}
    events: list[dict[str, Any]] = []
    killed = 0
    headers = {"x-api-key": cluster.api_key}
    with httpx.stream("POST", f"{cluster.url}/v1/messages", headers=headers, json=body, timeout=60) as answer:
        parser = SSEParser()
        for piece in answer.iter_raw():
            events += [json.loads(event.data) for event in parser.feed(piece)]
            if not killed and any(event.get("delta", {}).get("partial_json") for event in events):
                for process in instances_of(cluster, "slow"):
                    process.kill()
                    killed += 1
    assert killed == 1
    assert input_of(events) == input_of(undisturbed)
    assert events[-1] == {"type": "message_stop"}
    assert cluster.client.status(answer.headers["x-invocation-id"]).epoch == 2


def input_of(events: list[dict[str, Any]]) -> str:
    """Return the text of the call's input."""
    return "".join(event["delta"].get("partial_json", "") for event in events if "delta" in event)


def test_hanging_up_cancels(cluster: Cluster) -> None:
    body = {"model": "slow", "max_tokens": 500, "messages": [{"role": "user", "content": "a" * 400}], "stream": True}
    headers = {"x-api-key": cluster.api_key}
    with httpx.stream("POST", f"{cluster.url}/v1/messages", headers=headers, json=body, timeout=60) as answer:
        identity = answer.headers["x-invocation-id"]
        next(answer.iter_lines())
    wait_for(lambda: cluster.client.status(identity).state == "cancelled", "the cancellation")


def test_a_function_that_runs_is_loaded(cluster: Cluster) -> None:
    ask(cluster, "Hello")
    models = httpx.get(
        f"{cluster.url}/v1/models", headers={"x-api-key": cluster.api_key}, timeout=PATIENCE_SECONDS
    ).json()["data"]
    (echo,) = [model for model in models if model["id"] == "echo"]
    assert echo["status"] == {"value": "loaded"}
    assert echo["max_model_len"] == 8192
