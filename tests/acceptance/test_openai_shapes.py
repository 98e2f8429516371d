"""The official client gets calls of tools, structures, thoughts and tokens from the echo engine and a real model."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jsonschema
import pytest
from openai import BadRequestError, OpenAI

from quickthaw import FunctionSpec, loading
from tests.acceptance.cluster import ROOT, Cluster
from tests.integration.worker.echo_checkpoint import MODEL
from tests.patience import PATIENCE_SECONDS

LOOK: dict[str, Any] = {
    "name": "look",
    "description": "Looks into a direction.",
    "parameters": {
        "type": "object",
        "properties": {"where": {"enum": ["left", "right"]}, "steps": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["where", "steps"],
        "additionalProperties": False,
    },
}
TOOLS: Any = [{"type": "function", "function": LOOK}]
ARGUMENTS = '{"where": "left", "steps": 2}'
CALL: Any = [
    {"role": "user", "content": f'<tool_call>\n{{"name": "look", "arguments": {ARGUMENTS}}}\n</tool_call>'},
]
QUESTION: Any = [{"role": "user", "content": "Where is the exit?"}]
TEXT = "3 €, 日本 🙂!"
END_OF_TURN = "<|im_end|>"
END_OF_TURN_ID = 2  # in SmolLM2's vocabulary


def test_a_call_that_the_model_writes_comes_as_one(openai: OpenAI) -> None:
    choice = openai.chat.completions.create(model="echo", messages=CALL, tools=TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("look", json.loads(ARGUMENTS))


def test_a_streamed_call_is_the_whole_one(openai: OpenAI) -> None:
    with openai.chat.completions.stream(model="echo", messages=CALL, tools=TOOLS) as stream:
        pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        message = stream.get_final_completion().choices[0].message
    assert len(pieces) > 3
    assert json.loads("".join(pieces)) == json.loads(ARGUMENTS)
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == "".join(pieces)


def test_without_tools_the_same_answer_is_text(openai: OpenAI) -> None:
    message = openai.chat.completions.create(model="echo", messages=CALL).choices[0].message
    assert message.content == CALL[0]["content"]
    assert message.tool_calls is None


def test_the_older_functions_are_answered_in_their_form(openai: OpenAI) -> None:
    functions: Any = [LOOK]
    choice = openai.chat.completions.create(model="echo", messages=CALL, functions=functions).choices[0]
    assert choice.finish_reason == "function_call"
    assert choice.message.function_call is not None
    assert json.loads(choice.message.function_call.arguments) == json.loads(ARGUMENTS)


def test_thoughts_come_apart_from_the_answer(openai: OpenAI) -> None:
    thinking: Any = [{"role": "user", "content": "<think>two and two</think>four"}]
    answer = openai.chat.completions.create(model="echo", messages=thinking, reasoning_effort="low")
    message = answer.choices[0].message.model_dump()
    assert (message["reasoning_content"], message["content"]) == ("two and two", "four")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
def test_a_small_model_makes_a_valid_call_where_it_must(openai: OpenAI, choice: Any) -> None:
    answer = openai.chat.completions.create(
        model="chat",
        messages=QUESTION,
        tools=TOOLS,
        tool_choice=choice,
        parallel_tool_calls=False,
        max_tokens=200,
        seed=1,
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls or []
    assert len(calls) == 1
    call = calls[0]
    assert call.type == "function"
    jsonschema.validate(json.loads(call.function.arguments), LOOK["parameters"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_small_model_answers_by_a_schema(openai: OpenAI, stream: bool) -> None:
    shape: Any = {"type": "json_schema", "json_schema": {"name": "look", "strict": True, "schema": LOOK["parameters"]}}
    asked: dict[str, Any] = {"model": "chat", "messages": QUESTION, "response_format": shape, "max_tokens": 200}
    if stream:
        chunks = openai.chat.completions.create(**asked, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    else:
        text = openai.chat.completions.create(**asked).choices[0].message.content
    jsonschema.validate(json.loads(text), LOOK["parameters"])


def test_a_choice_a_bias_and_the_best_of_several(openai: OpenAI) -> None:
    chosen = openai.chat.completions.create(
        model="chat", messages=QUESTION, extra_body={"structured_outputs": {"choice": ["up", "down"]}}
    )
    assert chosen.choices[0].message.content in ("up", "down")
    asked: dict[str, Any] = {"model": "chat", "prompt": "The sky is", "max_tokens": 8, "seed": 3}
    every = openai.completions.create(**asked, n=3, logprobs=0)
    best = openai.completions.create(**asked, best_of=3)
    means = {c.text: sum(v or 0 for v in c.logprobs.token_logprobs or ()) for c in every.choices if c.logprobs}
    assert best.choices[0].text in means
    assert best.usage is not None
    assert every.usage is not None
    assert best.usage.completion_tokens == every.usage.completion_tokens


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"not": {}}}}}, "not"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"if": {}}}}]}, "parameters.if"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"extra_body": {"mirostat": 2}}, "mirostat"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(openai: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        openai.chat.completions.create(model="echo", messages=QUESTION, **fields)
    assert refused.value.param is not None
    assert refused.value.param.endswith(param)


def test_a_suffix_is_filled_in_where_the_model_can(cluster: Cluster, openai: OpenAI) -> None:
    cluster.client.deploy(FunctionSpec(name="fill", model=MODEL, engine="echo"))
    answer = openai.completions.create(model="fill", prompt="ab", suffix="cd")
    assert answer.choices[0].text == "abcd"  # both, but for the mark between them
    with pytest.raises(BadRequestError, match=r"fill in|FIM|infill|middle"):
        openai.completions.create(model="chat", prompt="ab", suffix="cd")


def test_embeddings_of_token_ids_shortened_and_in_base64(cluster: Cluster, openai: OpenAI) -> None:
    [function] = loading.functions(ROOT / "functions" / "embed" / "function.py")
    cluster.client.deploy(function.spec())
    floats = openai.embeddings.create(model="embed", input="a cat", encoding_format="float").data[0].embedding
    encoded = openai.embeddings.create(model="embed", input="a cat").data[0].embedding  # the client asks for base64
    assert encoded == pytest.approx(floats, abs=1e-7)
    short = openai.embeddings.create(model="embed", input="a cat", dimensions=8).data[0].embedding
    assert len(short) == 8
    assert sum(value * value for value in short) == pytest.approx(1, abs=1e-5)
    tokens = openai.embeddings.create(model="embed", input=[[101, 1037, 4937, 102], [101, 102]])
    assert tokens.data[0].embedding == pytest.approx(floats, abs=1e-4)
    with pytest.raises(BadRequestError, match="dimensions"):
        openai.embeddings.create(model="embed", input="a cat", dimensions=100_000)


def question(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("include", [False, True], ids=["hidden", "included"])
def test_a_small_model_stops_at_its_own_mark_though_its_end_is_ignored(openai: OpenAI, include: bool) -> None:
    more = {"ignore_eos": True, "min_tokens": 3, "include_stop_str_in_output": include}
    answer = openai.chat.completions.create(
        model="chat",
        messages=question("Say hello."),
        stop=[END_OF_TURN],
        logit_bias={str(END_OF_TURN_ID): 100},
        max_tokens=30,
        temperature=0,
        extra_body=more,
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    text = answer.choices[0].message.content or ""
    assert text.removesuffix(END_OF_TURN)
    assert text.endswith(END_OF_TURN) is include


def test_a_stop_sequence_that_is_the_end_of_a_turn_is_named(cluster: Cluster) -> None:
    body = {"model": "echo", "max_tokens": 20, "messages": question("hello"), "stop_sequences": ["<|end|>"]}
    answer = httpx.post(
        f"{cluster.url}/v1/messages", json=body, headers={"x-api-key": cluster.api_key}, timeout=PATIENCE_SECONDS
    ).json()
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "<|end|>")
    assert answer["content"][0]["text"] == "hello"


def test_the_bytes_of_a_chats_tokens_join_to_its_text(openai: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "echo", "messages": question(TEXT), "logprobs": True, "top_logprobs": 1}
    (choice,) = openai.chat.completions.create(**asked).choices
    assert choice.logprobs is not None
    entries = choice.logprobs.content or []
    assert bytes(byte for entry in entries for byte in entry.bytes or ()).decode() == choice.message.content == TEXT
    assert [entry.token for entry in entries[2:5]] == [r"\xe2", r"\x82", r"\xac"]
    assert all(entry.bytes == entry.top_logprobs[0].bytes for entry in entries)
    streamed = [
        entry
        for chunk in openai.chat.completions.create(**asked, stream=True)
        if chunk.choices and chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content or []
    ]
    assert [(entry.token, entry.bytes) for entry in streamed] == [(entry.token, entry.bytes) for entry in entries]


def test_the_bytes_of_a_responses_tokens_join_to_its_text(openai: OpenAI) -> None:
    answer = openai.responses.create(model="echo", input=TEXT, include=["message.output_text.logprobs"])
    (item,) = answer.output
    assert item.type == "message"
    (part,) = item.content
    assert part.type == "output_text"
    assert bytes(byte for entry in part.logprobs or () for byte in entry.bytes).decode() == part.text == TEXT


def test_a_small_models_likeliest_tokens_all_have_names_and_each_token_its_place(openai: OpenAI) -> None:
    answer = openai.completions.create(model="chat", prompt=TEXT, echo=True, logprobs=5, max_tokens=0)
    (choice,) = answer.choices
    assert choice.text == TEXT
    found = choice.logprobs
    assert found is not None
    assert found.tokens is not None
    assert found.text_offset is not None
    assert all(len(top) == 5 for top in (found.top_logprobs or [])[1:])
    assert any(token.startswith("bytes:") for token in found.tokens)
    for token, begin in zip(found.tokens, found.text_offset, strict=True):
        assert token.startswith("bytes:") or TEXT[begin:].startswith(token)
