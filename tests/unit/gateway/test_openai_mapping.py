"""OpenAI requests to calls; no Redis, no HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.types import Handler
from quickthaw_platform.errors import InvalidRequest, NotServable, QuickthawError
from quickthaw_platform.gateway.openai.mapping import (
    chat_call,
    check_serves,
    completion_calls,
    split_model,
)
from quickthaw_platform.gateway.openai.schema import ChatRequest, CompletionRequest

HELLO = [{"role": "user", "content": "hi"}]


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
    assert split_model("chat:") == ("chat", "")


def test_a_suffix_reaches_the_handler_or_is_refused() -> None:
    assert completion_calls(completion(suffix="end"), None)[0].input == {"prompt": "hi", "suffix": "end"}
    handler = Handler(file="f.py", object="f", parameters={"properties": {"prompt": {}}})
    for sent, by in ((completion(suffix="end"), handler), (completion(suffix="end", echo=True), None)):
        with pytest.raises(InvalidRequest) as refused:
            completion_calls(sent, by)
        assert refused.value.param == "suffix"
