"""What invocations put out, as OpenAI's answers and streams; no Redis, no HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from quickthaw.generation import Delta, TokenLogprob
from quickthaw.types import Event, EventType, Usage
from quickthaw_platform.errors import HandlerFailed
from quickthaw_platform.gateway.openai.answer import Head, collect
from quickthaw_platform.gateway.openai.chat_format import ChatChunks, chat_response
from quickthaw_platform.gateway.openai.text_format import TextChunks, text_response

HEAD = Head("chatcmpl-1", 1_700_000_000, "chat")


def log(*outputs: Delta | str, usage: Usage | None = None, value: Any = None) -> list[Event]:
    events = [
        Event(
            seq=index + 1,
            type=EventType.CHUNK,
            data={"delta": out.to_json()} if isinstance(out, Delta) else {"value": out},
        )
        for index, out in enumerate(outputs)
    ]
    usage_json = usage.model_dump() if usage else None
    return [*events, Event(seq=len(outputs) + 1, type=EventType.RESULT, data={"value": value, "usage": usage_json})]


LOGPROBS = (TokenLogprob(5, "Hé", -0.25, (("Hé", -0.25), ("Yo", -1.5))),)
USAGE = Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)


def test_a_chat_answer_has_openais_shape() -> None:
    answers, usage = collect(
        log(Delta("Hé", (5,), logprobs=LOGPROBS), Delta("!", (6,), finish_reason="length"), usage=USAGE), 1
    )
    body = ChatCompletion.model_validate(chat_response(HEAD, answers, usage), strict=True)
    assert body.choices[0].message.content == "Hé!"
    assert body.choices[0].finish_reason == "length"
    assert body.usage is not None
    assert (body.usage.prompt_tokens, body.usage.completion_tokens, body.usage.total_tokens) == (3, 2, 5)
    assert body.usage.prompt_tokens_details is not None
    assert body.usage.prompt_tokens_details.cached_tokens == 1
    assert body.choices[0].logprobs is not None
    assert body.choices[0].logprobs.content is not None
    token = body.choices[0].logprobs.content[0]
    assert (token.token, token.logprob, token.bytes) == ("Hé", -0.25, list("Hé".encode()))
    assert [top.token for top in token.top_logprobs] == ["Hé", "Yo"]


def test_several_choices_are_kept_apart() -> None:
    events = log(Delta("a", choice=0), Delta("x", choice=1), Delta("b", choice=0), Delta("y", choice=1))
    answers, usage = collect(events, 2)
    body = ChatCompletion.model_validate(chat_response(HEAD, answers, usage))
    assert [choice.message.content for choice in body.choices] == ["ab", "xy"]
    assert [choice.index for choice in body.choices] == [0, 1]


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (log("Hel", "lo"), "Hello"),  # text that is not from the model
        (log(value="plain"), "plain"),  # a handler that returns
        (log(value={"a": 1}), '{"a":1}'),
        (log(value=None), ""),
        (log("x", value="x"), "x"),  # the result repeats the chunks, and does not count twice
    ],
)
def test_what_handlers_put_out_is_text(events: list[Event], text: str) -> None:
    answers, _ = collect(events, 1)
    assert answers[0].text == text
    streamed = chunks_of(ChatChunks(HEAD, 1, False), events)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in streamed) == text


def test_a_failed_call_raises_its_error() -> None:
    error = HandlerFailed("boom").to_json()
    with pytest.raises(HandlerFailed, match="boom"):
        collect([Event(seq=1, type=EventType.ERROR, data={"error": error})], 1)


def chunks_of(builder: ChatChunks | TextChunks, events: list[Event]) -> list[dict[str, Any]]:
    return [chunk for event in events for chunk in builder.feed(event)]


def test_chat_chunks_begin_with_the_role_and_end_with_the_reason() -> None:
    chunks = chunks_of(ChatChunks(HEAD, 1, False), log(Delta("Hi", (1,)), Delta("", (), finish_reason="stop")))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "stop"]
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)


def test_an_answer_without_text_still_begins_and_ends() -> None:
    chunks = chunks_of(ChatChunks(HEAD, 2, True), log())
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, "stop", None, "stop"]
    assert all(chunk["usage"] is None for chunk in chunks)


def test_keep_alive_chunks_are_real_and_leave_the_stream_as_it_is() -> None:
    builder = ChatChunks(HEAD, 1, False)
    first, second = builder.keep_alive(), builder.keep_alive()
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert second["choices"][0]["delta"] == {}
    for chunk in (first, second):
        ChatCompletionChunk.model_validate(chunk, strict=True)
    rest = chunks_of(builder, log(Delta("Hi")))
    assert [c["choices"][0]["delta"] for c in rest] == [{"content": "Hi"}, {}]


def test_usage_comes_in_a_chunk_of_its_own() -> None:
    chunk = ChatCompletionChunk.model_validate(ChatChunks(HEAD, 1, True).usage(USAGE), strict=True)
    assert chunk.choices == []
    assert chunk.usage is not None
    assert chunk.usage.total_tokens == 5


ECHOED = (
    TokenLogprob(1, "Hi", None),
    TokenLogprob(2, " yo", -1.0, ((" yo", -1.0), (" no", -2.0))),
)


def test_legacy_logprobs_with_echo() -> None:
    answers, usage = collect(log(Delta("Hi yo", (1, 2), logprobs=ECHOED, finish_reason="length"), usage=USAGE), 1)
    body = text_response(HEAD, answers, [usage])
    Completion.model_validate({**body, "choices": [{**body["choices"][0], "logprobs": None}]}, strict=True)
    assert body["choices"][0]["logprobs"] == {
        "tokens": ["Hi", " yo"],
        "token_logprobs": [None, -1.0],
        "top_logprobs": [None, {" yo": -1.0, " no": -2.0}],
        "text_offset": [0, 2],
    }


def test_legacy_chunks_number_choices_and_offsets_on() -> None:
    builder = TextChunks(HEAD, 2, False, first=2)
    deltas = (Delta("Hi", choice=1, logprobs=ECHOED[:1]), Delta(" yo", choice=1, logprobs=ECHOED[1:]))
    chunks = chunks_of(builder, log(*deltas, Delta("", choice=1, finish_reason="length")))
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [(c["index"], c["text"], c["finish_reason"]) for c in choices] == [
        (3, "Hi", None),
        (3, " yo", None),
        (3, "", "length"),
        (2, "", "stop"),
    ]
    assert [c["logprobs"]["text_offset"] for c in choices[:2]] == [[0], [2]]
    for chunk in chunks[2:]:
        Completion.model_validate(chunk, strict=True)
