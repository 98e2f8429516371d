"""OpenAI requests to calls, and back; no Redis, no HTTP."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from quickthaw.generation import Delta, TokenLogprob
from quickthaw.types import Event, EventType, Handler, Usage
from quickthaw_platform.errors import HandlerFailed, InvalidRequest, NotServable, QuickthawError
from quickthaw_platform.gateway.openai_answer import Head, collect
from quickthaw_platform.gateway.openai_chat_format import ChatChunks, chat_response
from quickthaw_platform.gateway.openai_mapping import (
    chat_call,
    check_serves,
    completion_calls,
    split_model,
)
from quickthaw_platform.gateway.openai_schema import ChatRequest, CompletionRequest, EmbeddingRequest
from quickthaw_platform.gateway.openai_text_format import TextChunks, text_response
from quickthaw_platform.gateway.openai_vectors import embedding_call, embedding_response

HELLO = [{"role": "user", "content": "hi"}]
HEAD = Head("chatcmpl-1", 1_700_000_000, "chat")


def handler(*names: str) -> Handler:
    return Handler(file="f.py", object="f", parameters={"type": "object", "properties": {name: {} for name in names}})


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "chat", "messages": HELLO, **fields})


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "chat", "prompt": "hi", **fields})


@pytest.mark.parametrize(
    ("fields", "sampling"),
    [
        ({}, {}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),  # the newer name counts
        ({"temperature": None, "n": 2}, {"n": 2}),  # null is unset
        ({"stop": "END", "seed": 3}, {"stop": "END", "seed": 3}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"logprobs": True}, {"logprobs": 0}),
        ({"logprobs": True, "top_logprobs": 4}, {"logprobs": 4}),
        ({"logprobs": False}, {}),
        ({"top_k": -1, "min_p": 0.1, "repetition_penalty": 1.1}, {"top_k": 0, "min_p": 0.1, "repetition_penalty": 1.1}),
        ({"user": "me", "tools": [], "response_format": {"type": "text"}}, {}),  # these ask for nothing
    ],
)
def test_chat_sampling(fields: dict[str, Any], sampling: dict[str, Any]) -> None:
    assert chat_call(chat(**fields), None).sampling == sampling


def test_top_logprobs_alone_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="logprobs: true"):
        chat_call(chat(top_logprobs=2), None)


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ({"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "ab"},
        ),
        ({"role": "developer", "content": "be brief"}, {"role": "system", "content": "be brief"}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "user", "content": "hi", "name": "Ann"}, {"role": "user", "content": "hi", "name": "Ann"}),
    ],
)
def test_messages_become_what_chat_templates_know(message: dict[str, Any], plain: dict[str, Any]) -> None:
    assert chat_call(chat(messages=[message]), None).input == {"messages": [plain]}


def test_a_picture_is_refused_by_name() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:"}}
    with pytest.raises(InvalidRequest, match="image_url"):
        chat_call(chat(messages=[{"role": "user", "content": [part]}]), None)


def test_fields_that_the_handler_names_become_its_arguments() -> None:
    call = chat_call(chat(max_completion_tokens=9, style="terse"), handler("messages", "max_tokens", "style"))
    assert call.input == {"messages": HELLO, "max_tokens": 9, "style": "terse"}
    assert call.sampling == {"max_tokens": 9}


@pytest.mark.parametrize(
    ("fields", "prompts"),
    [
        ({"prompt": "hi"}, ["hi"]),
        ({"prompt": ""}, [""]),
        ({"prompt": ["a", "b"]}, ["a", "b"]),
        ({"prompt": [1, 2, 3]}, [[1, 2, 3]]),
        ({"prompt": [[1], [2, 3]]}, [[1], [2, 3]]),
    ],
)
def test_each_prompt_is_a_call(fields: dict[str, Any], prompts: list[Any]) -> None:
    assert [call.input["prompt"] for call in completion_calls(completion(**fields), None)] == prompts


@pytest.mark.parametrize("prompt", [[], [[]], ["a"] * 129])
def test_prompts_that_are_none_or_too_many_are_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest):
        completion_calls(completion(prompt=prompt), None)


def test_the_request_of_an_evaluation_harness() -> None:
    (call,) = completion_calls(completion(echo=True, logprobs=1, max_tokens=0, temperature=0.0), None)
    assert call.sampling == {"max_tokens": 0, "temperature": 0.0, "logprobs": 1, "echo": True}


def test_legacy_completions_have_openais_default_length() -> None:
    assert completion_calls(completion(), None)[0].sampling == {"max_tokens": 16}


@pytest.mark.parametrize(
    ("by", "argument", "task", "error"),
    [
        (None, "messages", "generate", None),
        (None, "prompt", None, None),  # no node tells: let the engine decide
        (None, "input", "embed", None),
        (None, "messages", "embed", NotServable),
        (None, "input", "generate", NotServable),
        (handler("messages"), "messages", "generate", None),
        (handler("question"), "messages", "generate", NotServable),
        (Handler(file="f", object="f", parameters={"additionalProperties": True}), "messages", None, None),
    ],
)
def test_what_a_function_serves(
    by: Handler | None, argument: str, task: str | None, error: type[QuickthawError] | None
) -> None:
    if error is None:
        check_serves("f", by, argument, task)
    else:
        with pytest.raises(error):
            check_serves("f", by, argument, task)


def test_a_model_id_may_name_an_alias() -> None:
    assert split_model("chat") == ("chat", None)
    assert split_model("chat:canary") == ("chat", "canary")


# --- answers ---


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


def embedding(**fields: Any) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"model": "embed", "input": ["a", "b"], **fields})


def test_embeddings_as_floats() -> None:
    body = embedding_response(embedding(), [[1.0, 0.0], [0.0, 1.0]], Usage(prompt_tokens=2))
    parsed = CreateEmbeddingResponse.model_validate(body, strict=True)
    assert [entry.embedding for entry in parsed.data] == [[1.0, 0.0], [0.0, 1.0]]
    assert parsed.usage.total_tokens == 2


def test_embeddings_as_base64_are_little_endian_floats() -> None:
    body = embedding_response(embedding(input="a", encoding_format="base64"), [0.5, -1.0], Usage())
    assert struct.unpack("<2f", base64.b64decode(body["data"][0]["embedding"])) == (0.5, -1.0)


@pytest.mark.parametrize("result", [None, "x", [[1.0]], [[1.0], []], [[1.0], ["x"]], [[1.0], [True]]])
def test_a_handler_that_returns_no_vectors_has_failed(result: Any) -> None:
    with pytest.raises(HandlerFailed):
        embedding_response(embedding(), result, Usage())


@pytest.mark.parametrize(
    ("sent", "inputs"),
    [({"input": "a"}, ["a"]), ({"input": [1, 2]}, [[1, 2]]), ({"input": [[1], [2]]}, [[1], [2]])],
)
def test_inputs_may_be_token_ids(sent: dict[str, Any], inputs: list[Any]) -> None:
    assert embedding_call(embedding(**sent), None).input == {"input": inputs}


@pytest.mark.parametrize("sent", [{"input": []}, {"input": [[]]}, {"input": [[1], []]}])
def test_inputs_that_cannot_be_embedded(sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        embedding_call(embedding(**sent), None)


def test_fewer_dimensions_are_the_first_ones_at_unit_length() -> None:
    body = embedding_response(embedding(input="a", dimensions=2), [[0.6, 0.8, 0.0], [1.0, 0.0]][:1], Usage())
    assert body["data"][0]["embedding"] == [0.6, 0.8]
    body = embedding_response(embedding(input="a", dimensions=1), [[0.6, 0.8]], Usage())
    assert body["data"][0]["embedding"] == [1.0]


def test_more_dimensions_than_the_model_has_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="2 dimensions") as refused:
        embedding_response(embedding(dimensions=3), [[1.0, 0.0], [0.0, 1.0]], Usage())
    assert refused.value.param == "dimensions"
