"""Chat answers that hold calls of tools and thoughts, whole and streamed; no Redis, no HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from quickthaw.generation import Delta, TokenLogprob, ToolCallDelta
from quickthaw.types import Event, EventType, Usage
from quickthaw_platform.gateway.chunk_template import plain_text
from quickthaw_platform.gateway.openai.answer import Head, collect
from quickthaw_platform.gateway.openai.chat_format import ChatChunks, chat_response

HEAD = Head("chatcmpl-1", 1_700_000_000, "chat")

CALLS = (
    Delta("", (1,), tool_calls=(ToolCallDelta(0, "call_abc", "look", ""),)),
    Delta("", (2,), tool_calls=(ToolCallDelta(0, arguments='{"at'),)),
    Delta("", (3,), tool_calls=(ToolCallDelta(0, arguments='": 1}'), ToolCallDelta(1, "call_def", "wait", "{}"))),
    Delta("", (), finish_reason="tool_calls"),
)


def log(*deltas: Delta) -> list[Event]:
    events = [Event(seq=i + 1, type=EventType.CHUNK, data={"delta": d.to_json()}) for i, d in enumerate(deltas)]
    return [*events, Event(seq=len(deltas) + 1, type=EventType.RESULT, data={"value": None, "usage": {}})]


def whole(*deltas: Delta, legacy: bool = False) -> Any:
    answers, usage = collect(log(*deltas), 1)
    return ChatCompletion.model_validate(chat_response(HEAD, answers, usage, legacy), strict=True).choices[0]


def streamed(*deltas: Delta, legacy: bool = False) -> list[Any]:
    builder = ChatChunks(HEAD, 1, False, legacy)
    chunks = [chunk for event in log(*deltas) for chunk in builder.feed(event)]
    return [ChatCompletionChunk.model_validate(chunk, strict=True).choices[0] for chunk in chunks]


def test_calls_alone_have_no_content() -> None:
    choice = whole(*CALLS)
    assert choice.message.content is None
    assert choice.finish_reason == "tool_calls"
    assert [(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls] == [
        ("call_abc", "look", '{"at": 1}'),
        ("call_def", "wait", "{}"),
    ]


def test_text_before_calls_and_thoughts_before_both_are_kept_apart() -> None:
    message = whole(Delta("", (8,), reasoning="Hm"), Delta("I look. ", (9,)), *CALLS).message
    assert message.content == "I look. "
    assert message.reasoning_content == message.reasoning == "Hm"
    assert len(message.tool_calls) == 2


def test_a_plain_answer_has_neither_calls_nor_thoughts() -> None:
    answers, usage = collect(log(Delta("Hi", (1,))), 1)
    message = chat_response(HEAD, answers, usage)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "Hi", "refusal": None}


def test_a_stream_of_calls_names_each_once() -> None:
    first, *rest, last = streamed(*CALLS)
    assert (first.delta.role, first.delta.content) == ("assistant", None)
    pieces = [piece for choice in rest for piece in choice.delta.tool_calls]
    assert [(p.index, p.id, p.function.name, p.function.arguments) for p in pieces] == [
        (0, "call_abc", "look", ""),
        (0, None, None, '{"at'),
        (0, None, None, '": 1}'),
        (1, "call_def", "wait", "{}"),
    ]
    assert last.finish_reason == "tool_calls"


def test_a_stream_of_thoughts_then_text_tells_tokens_once() -> None:
    logprobs = (TokenLogprob(5, "so", -0.5),)
    chunks = streamed(Delta("Yes", (5,), reasoning="so", logprobs=logprobs))
    assert [(c.delta.model_extra or {}).get("reasoning_content") for c in chunks] == [None, "so", None, None]
    assert [c.delta.content for c in chunks] == [None, None, "Yes", None]
    assert [c.logprobs is not None for c in chunks] == [False, True, False, False]


def test_the_older_form_of_calls() -> None:
    one = (*CALLS[:2], Delta("", (3,), tool_calls=(ToolCallDelta(0, arguments='": 1}'),)), CALLS[3])
    choice = whole(*one, legacy=True)
    assert choice.finish_reason == "function_call"
    assert (choice.message.function_call.name, choice.message.function_call.arguments) == ("look", '{"at": 1}')
    chunks = streamed(*one, legacy=True)
    assert "".join(c.delta.function_call.arguments for c in chunks if c.delta.function_call) == '{"at": 1}'
    assert chunks[-1].finish_reason == "function_call"


@pytest.mark.parametrize("more", [{"reasoning": "a"}, {"tool_calls": (ToolCallDelta(0),)}, {"finish_reason": "stop"}])
def test_only_plain_text_takes_the_fast_path(more: dict[str, Any]) -> None:
    assert plain_text(log(Delta("x", (1,)))[0]) == (0, "x")
    assert plain_text(log(Delta("x", (1,), **more))[0]) is None


def test_usage_of_an_answer_with_calls_is_told() -> None:
    answers, _ = collect(log(*CALLS), 1)
    assert chat_response(HEAD, answers, Usage(prompt_tokens=2, completion_tokens=3))["usage"]["total_tokens"] == 5
