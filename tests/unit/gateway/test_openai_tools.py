"""Tools, structures and messages of chat requests, and answers that hold calls and thoughts; no Redis, no HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ValidationError

from quickthaw.generation import ChatOptions, Delta, Sampling, TokenLogprob, ToolCallDelta
from quickthaw.types import Event, EventType, Handler, Usage
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.chunk_template import plain_text
from quickthaw_platform.gateway.openai_answer import Answer, Head, collect
from quickthaw_platform.gateway.openai_best import best
from quickthaw_platform.gateway.openai_chat_format import ChatChunks, chat_response
from quickthaw_platform.gateway.openai_mapping import Call, chat_call, chosen_from, completion_calls
from quickthaw_platform.gateway.openai_schema import ChatRequest, CompletionRequest

HEAD = Head("chatcmpl-1", 1_700_000_000, "chat")
USER = {"role": "user", "content": "hi"}
LOOK = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {}}}}
TOOLS = [{"type": "function", "function": LOOK}, {"type": "function", "function": {"name": "wait"}}]
NAMED = {"type": "function", "function": {"name": "look"}}


def call(own: Any = (), handler: Handler | None = None, **fields: Any) -> Call:
    return chat_call(ChatRequest.model_validate({"model": "chat", "messages": [USER], **fields}), handler, own)


def refusal(**fields: Any) -> str | None:
    with pytest.raises(InvalidRequest) as refused:
        call(**fields)
    return refused.value.param


# --- what the caller asks ---


def test_a_tool_without_parameters_takes_none_and_strict_is_no_part_of_it() -> None:
    tools = [{"type": "function", "function": {**LOOK, "strict": True}}, TOOLS[1]]
    assert call(tools=tools).chat["tools"] == [
        TOOLS[0],
        {"type": "function", "function": {"name": "wait", "parameters": {"type": "object", "properties": {}}}},
    ]


@pytest.mark.parametrize(
    ("choice", "options"),
    [
        ("none", {"tool_choice": "none"}),
        ("required", {"tool_choice": "required"}),
        (NAMED, {"tool_choice": "required", "allowed_tools": ["look"], "parallel_tool_calls": False}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
            {"tool_choice": "auto", "allowed_tools": ["look"]},
        ),
    ],
)
def test_which_tools_may_be_called(choice: Any, options: dict[str, Any]) -> None:
    found = call(tools=TOOLS, tool_choice=choice).chat
    assert {name: value for name, value in found.items() if name != "tools"} == options
    ChatOptions.model_validate(found)


def test_the_older_functions_are_tools_called_one_at_a_time() -> None:
    found = call(functions=[LOOK], function_call={"name": "look"})
    assert found.chat == {
        "tools": TOOLS[:1], "parallel_tool_calls": False, "tool_choice": "required", "allowed_tools": ["look"],
    }  # fmt: skip
    assert found.places.tool == "functions.{}.parameters"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools"),  # a name twice
        ({"tools": TOOLS, "functions": [LOOK]}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),  # of no tools
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "jump"}}}, "tool_choice"),
        ({"tools": [{**TOOLS[0], "returns": {}}]}, "tools.0.returns"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, "guided_regex"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_json": "[1]"}, "guided_json"),
        ({"logit_bias": {"the": 1}}, "logit_bias"),
        ({"messages": [{**USER, "mood": "good"}]}, "messages.0.mood"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages.0.audio"),
        ({"messages": [USER, {"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.1.content.0"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]},
            "messages.0.content.0.x",
        ),
    ],
)
def test_what_cannot_be_served_is_named(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields) == param


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"tools": [{"type": "function", "function": {"name": "two words"}}]},
        {"response_format": {"type": "structural_tag"}},
        {"structured_outputs": {"whitespace_pattern": " "}},
        {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]}]},
        {"stream_options": {"continuous_usage_stats": True}},
    ],
)
def test_what_has_another_shape_is_no_request(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        call(**fields)


def test_tools_of_the_function_itself_may_be_chosen() -> None:
    assert call(own=TOOLS, tool_choice="required").chat == {"tool_choice": "required"}
    assert call(own=TOOLS, tool_choice=NAMED).chat["allowed_tools"] == ["look"]


def test_a_handler_may_have_tools_that_the_gateway_does_not_know() -> None:
    handler = Handler(file="f.py", object="f", parameters={"properties": {"messages": {}}})
    assert call(handler=handler, tool_choice=NAMED).chat["allowed_tools"] == ["look"]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("fields", "structure", "place"),
    [
        ({"response_format": {"type": "json_object"}}, {"json_schema": {"type": "object"}}, "response_format.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            {"json_schema": SCHEMA},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_object", "schema": SCHEMA}},  # llama.cpp's
            {"json_schema": SCHEMA},
            "response_format.schema",
        ),
        (
            {"structured_outputs": {"json": '{"type": "null"}'}},
            {"json_schema": {"type": "null"}},
            "structured_outputs.json",
        ),
        ({"structured_outputs": {"choice": ["a", "b"]}}, {"choice": ["a", "b"]}, "structured_outputs.choice"),
        ({"guided_grammar": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}, "guided_grammar"),
        ({"json_schema": True}, {"json_schema": True}, "json_schema"),
    ],
)
def test_every_name_for_what_an_answer_must_be(fields: dict[str, Any], structure: dict[str, Any], place: str) -> None:
    found = call(**fields)
    assert found.sampling["structure"] == structure
    assert found.places.structure == place
    Sampling.model_validate(found.sampling)


@pytest.mark.parametrize("fields", [{"response_format": {"type": "text"}}, {"grammar": ""}, {"structured_outputs": {}}])
def test_what_asks_for_no_structure(fields: dict[str, Any]) -> None:
    assert "structure" not in call(**fields).sampling


def test_sampling_by_other_names() -> None:
    fields: dict[str, Any] = {
        "n_predict": 5,
        "repeat_penalty": 1.5,
        "include_stop_str_in_output": True,
        "logit_bias": [[5, 1.5]],
    }
    assert call(**fields).sampling == {
        "max_tokens": 5, "repetition_penalty": 1.5, "include_stop": True, "logit_bias": {5: 1.5},
    }  # fmt: skip
    assert call(n_predict=-1).sampling == {"max_tokens": -1}
    assert call(max_tokens=3, n_predict=5).sampling == {"max_tokens": 3}  # OpenAI's name counts


def test_calls_and_their_results_keep_their_ids() -> None:
    function = {"name": "look", "arguments": '{"at": 1}'}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a wall"}]},
        {"role": "assistant", "refusal": "No.", "annotations": [], "audio": None, "reasoning_content": "Hm."},
    ]
    assert call(messages=messages).input["messages"] == [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "content": "a wall", "tool_call_id": "c1"},
        {"role": "assistant", "content": "No.", "reasoning_content": "Hm."},
    ]


def test_the_older_form_of_a_call_and_its_result() -> None:
    function = {"name": "look", "arguments": "{}"}
    messages = [
        USER,
        {"role": "assistant", "function_call": function},
        {"role": "function", "name": "look", "content": "x"},
    ]
    _, made, result = call(messages=messages).input["messages"]
    assert made["tool_calls"] == [{"id": "call00001", "type": "function", "function": function}]
    assert result == {"role": "tool", "name": "look", "content": "x", "tool_call_id": "call00001"}


# --- what is answered ---

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


# --- the best of several ---


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "chat", "prompt": "hi", **fields})


def test_the_best_of_several_are_sampled_with_their_likelihood() -> None:
    (made,) = completion_calls(completion(best_of=3, n=2), None)
    assert (made.sampling["n"], made.sampling["logprobs"]) == (3, 0)
    assert chosen_from(completion(best_of=2, n=2)) is None
    assert chosen_from(completion()) is None


@pytest.mark.parametrize("fields", [{"best_of": 1, "n": 2}, {"best_of": 2, "stream": True}])
def test_best_of_fewer_than_asked_or_in_a_stream_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        completion_calls(completion(**fields), None)
    assert refused.value.param == "best_of"


def test_the_answers_with_the_highest_mean_likelihood_are_kept_of_each_prompt() -> None:
    def answer(text: str, *values: float) -> Answer:
        return Answer(text, logprobs=[TokenLogprob(1, text, value) for value in values])

    answers = [answer("a", -1.0, -1.0), answer("b", -1.5), answer("c", -2.0), answer("d", -0.1)]
    assert [found.text for found in best(answers, 2, 1, keep_logprobs=True)] == ["a", "d"]
    assert best(answers, 4, 2, keep_logprobs=False)[0].logprobs == []


def test_a_suffix_reaches_the_handler_or_is_refused() -> None:
    assert completion_calls(completion(suffix="end"), None)[0].input == {"prompt": "hi", "suffix": "end"}
    handler = Handler(file="f.py", object="f", parameters={"properties": {"prompt": {}}})
    for sent, by in ((completion(suffix="end"), handler), (completion(suffix="end", echo=True), None)):
        with pytest.raises(InvalidRequest) as refused:
            completion_calls(sent, by)
        assert refused.value.param == "suffix"


def test_usage_of_an_answer_with_calls_is_told() -> None:
    answers, _ = collect(log(*CALLS), 1)
    assert chat_response(HEAD, answers, Usage(prompt_tokens=2, completion_tokens=3))["usage"]["total_tokens"] == 5
