"""Grammars of answers with calls: each form's own writing is allowed, and nothing beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from quickthaw.generation import Structure
from quickthaw_backends.engines.tool_forms import grammar, reader
from quickthaw_backends.engines.tool_forms.form import MOST_CALLS
from quickthaw_platform.contracts import Reading
from tests.unit.engines.tool_examples import EXACT, TOOLS, Calls

END, TAG, THINK_END = 256, 257, 258
SPECIALS = {TAG: "<tool_call>", THINK_END: "</think>"}
SCHEMA = Structure(json_schema={"type": "object"})
FORMS = pytest.mark.parametrize(("form", "text", "calls"), EXACT)


class Bytes:
    """The tokenizer whose tokens are bytes, with two special tokens."""

    eos_token_id = END
    bos_token_id = None
    tokens = [*(bytes([byte]) for byte in range(256)), b"\xff<end>", b"\xff<tool_call>", b"\xff</think>"]  # noqa: RUF012
    special_token_ids = [END, TAG, THINK_END]  # noqa: RUF012

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


TOKENIZER = LLTokenizer(TokenizerWrapper(Bytes()))


def allows(reading: Reading | None, text: str | list[int], structure: Structure | None = None) -> bool:
    """Return whether an answer may be this and end there."""
    rules = grammar(reading, structure)
    assert rules is not None
    matcher = LLMatcher(TOKENIZER, rules, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = list(text.encode()) if isinstance(text, str) else text
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@FORMS
@pytest.mark.parametrize("must_call", [True, False])
@pytest.mark.parametrize("structure", [None, SCHEMA])
@pytest.mark.parametrize("before", ["", "<think>Hm. <tool_call> [f( </think>\n\n"])
def test_calls_as_a_family_writes_them_are_allowed(
    form: str, text: str, calls: Calls, must_call: bool, structure: Structure | None, before: str
) -> None:
    assert calls
    reading = Reading(form, TOOLS, must_call=must_call, thoughts="think" if before else None)
    assert allows(reading, before + text, structure)


def _with_other_tool(text: str) -> str:
    return re.sub(r'(?<=[\[\]"=>])f(?=[\["(>{\n<])', "h", text, count=1)


@FORMS
def test_a_call_of_an_unknown_tool_and_arguments_against_the_schema_are_not(form: str, text: str, calls: Calls) -> None:
    assert calls
    for must_call in (True, False):
        reading = Reading(form, TOOLS, must_call=must_call)
        assert not allows(reading, _with_other_tool(text))
        assert not allows(reading, text.replace("1", "x"))


@FORMS
def test_where_calls_are_required_no_text_is_allowed(form: str, text: str, calls: Calls) -> None:
    reading = Reading(form, TOOLS, must_call=True)
    assert calls
    assert not any(allows(reading, answer) for answer in ("", "Rome", '{"a": 1}', f"See: {text}"))


@FORMS
def test_where_they_may_be_made_text_is_free(form: str, text: str, calls: Calls) -> None:
    reading = Reading(form, TOOLS)
    assert all(allows(reading, answer) for answer in ("", "Rome\n\n", '{"a": 1}', "[1] says <b> and [x]"))
    if form not in ("llama", "json", "pythonic"):
        assert allows(reading, f"See: {text}")
        assert not allows(reading, f"See: {text.replace('1', 'x')}")
    assert calls


@FORMS
def test_beside_a_structure_the_answer_is_either(form: str, text: str, calls: Calls) -> None:
    reading = Reading(form, TOOLS)
    assert calls
    for structure, good, bad in (
        (SCHEMA, '{"x": 1}', "Rome"),
        (Structure(json_schema={"type": "object", "properties": {"name": {"type": "integer"}}}), '{"name": 3}', '"a"'),
        (Structure(choice=("yes", "no")), "yes", "maybe"),
        (Structure(regex="a+b"), "aab", "ba"),
        (Structure(grammar='root ::= "x" "y"'), "xy", "x"),
    ):
        assert allows(reading, good, structure)
        assert not allows(reading, bad, structure)
        assert allows(reading, text, structure)


@FORMS
def test_where_calls_are_not_parallel_one_is_all(form: str, text: str, calls: Calls) -> None:
    assert len(calls) > 1
    assert not allows(Reading(form, TOOLS, must_call=True, parallel=False), text)


def test_thoughts_come_first_and_are_free() -> None:
    inside = Reading(thoughts="think", thinking=True)
    assert allows(inside, 'any {thing}</think>\n\n{"a": 1}', SCHEMA)
    assert not allows(inside, '{"a": 1}', SCHEMA)
    assert not allows(inside, "Hm.</think>Rome", SCHEMA)
    may = Reading(thoughts="think")
    assert allows(may, '{"a": 1}', SCHEMA)
    assert allows(may, '<think>Hm.</think>{"a": 1}', SCHEMA)


def test_a_structure_alone_is_its_own_grammar_and_an_answer_that_is_free_has_none() -> None:
    assert grammar(None, None) is None
    assert grammar(Reading(thoughts="think"), None) is None
    assert allows(None, '{"a": 1}', SCHEMA)


def test_marks_that_are_special_tokens_are_asked_for_as_such() -> None:
    specials = {text: token for token, text in SPECIALS.items()}
    reading = Reading("hermes", TOOLS, must_call=True, thoughts="think", thinking=True, specials=specials)
    call = list(b'\n{"name": "g", "arguments": {}}\n</tool_call>')
    assert allows(reading, [*b"Hm.", THINK_END, TAG, *call])
    assert not allows(reading, [*b"Hm.", THINK_END, *b"<tool_call>", *call])
    free = Reading("hermes", TOOLS, specials=specials)
    assert allows(free, [*b"See: ", TAG, *call])
    assert allows(free, list(b"<tool_call> is how a call begins"))


@pytest.mark.parametrize(
    ("parameters", "good", "bad"),
    [
        (None, "{}", '{"a": 1}'),  # none at all: an empty object
        ({}, '{"a": [1, "b"]}', "[]"),  # any object
        ({"properties": {"a": True}}, '{"a": null}', '{"b": 1}'),  # others are not listed, so they are not written
        ({"properties": {}, "additionalProperties": True}, '{"b": 1}', "1"),
        ({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}}, '{"a": 1}', '{"a": "b"}'),
    ],
)
def test_arguments_follow_the_schema(parameters: Mapping[str, Any] | None, good: str, bad: str) -> None:
    function = {"name": "f"} if parameters is None else {"name": "f", "parameters": parameters}
    reading = Reading("json", ({"type": "function", "function": function},), must_call=True)
    assert allows(reading, f'{{"name": "f", "arguments": {good}}}')
    assert not allows(reading, f'{{"name": "f", "arguments": {bad}}}')


def test_pythonic_arguments_come_in_the_schemas_order_the_required_ones_first() -> None:
    assert allows(Reading("pythonic", TOOLS), '[f(a=1), g(b="x")]')
    optional = {"name": "f", "parameters": {"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/x"}}}}
    optional["parameters"]["$defs"] = {"x": {"enum": ["u"]}}  # type: ignore[index]
    reading = Reading("pythonic", ({"type": "function", "function": optional},), must_call=True)
    assert all(allows(reading, f"[f({inside})]") for inside in ("", "a=1", 'b="u"', 'a=1, b="u"'))
    assert not any(allows(reading, f"[f({inside})]") for inside in (", ", 'a="x"', 'b="v"', 'b="u", a=1'))


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("pythonic", '[f(größe="😀 \\"\\n")]'),
        ("qwen_coder", '<tool_call>\n<function=f>\n<parameter=größe>\n😀 "\n\n</parameter>\n</function>\n</tool_call>'),
        ("hermes", '<tool_call>\n{"name": "f", "arguments": {"größe": "😀 \\"\\n"}}\n</tool_call>'),
    ],
)
def test_names_and_values_may_have_any_characters(form: str, text: str) -> None:
    parameters = {"properties": {"größe": {"type": "string", "enum": ['😀 "\n']}}, "required": ["größe"]}
    tools = ({"type": "function", "function": {"name": "f", "parameters": parameters}},)
    reading = Reading(form, tools, must_call=True)
    assert allows(reading, text)
    assert not allows(reading, text.replace("😀", "😁"))
    [call] = reader(reading, str).push(text).tool_calls
    assert json.loads(call.arguments) == {"größe": '😀 "\n'}


def test_an_answer_has_an_end_however_many_calls_it_makes() -> None:
    call = '{"name": "g", "arguments": {}}'
    reading = Reading("json", TOOLS, must_call=True)
    assert allows(reading, "\n".join([call] * MOST_CALLS))
    assert not allows(reading, "\n".join([call] * (MOST_CALLS + 1)))


def test_a_strict_tools_schema_is_taken_at_its_word() -> None:
    parameters: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    tool: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": parameters, "strict": True}}
    rules = grammar(Reading("json", (tool,), must_call=True), None)
    assert rules is not None
    assert "uniqueItems" in LLMatcher.validate_grammar(rules, TOKENIZER)
    del tool["function"]["strict"]
    assert allows(Reading("json", (tool,), must_call=True), '{"name": "f", "arguments": {"a": [1, 1]}}')


def test_gpt_oss_answers_in_channels() -> None:
    specials = {"<|end|>": TAG, "<|channel|>": THINK_END}
    thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"

    def tokens(text: str) -> list[int]:
        parts = re.split("(" + "|".join(map(re.escape, specials)) + ")", text)
        return [token for part in parts for token in ([specials[part]] if part in specials else part.encode())]

    def may(answer: str, structure: Structure | None = None, **more: Any) -> bool:
        found = Reading("harmony", thoughts="harmony", specials=specials, **more)
        return all(allows(found, tokens(before + answer), structure) for before in ("", thought))

    call = '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}'
    assert may(call, tools=TOOLS)
    assert may(call, SCHEMA, tools=TOOLS)
    assert may(call, tools=TOOLS, must_call=True)
    assert not may(call.replace("1", "x"), tools=TOOLS, must_call=True)
    assert may("<|channel|>final<|message|>Rome", tools=TOOLS)
    assert not may("<|channel|>final<|message|>Rome", tools=TOOLS, must_call=True)
    assert may('<|channel|>final<|message|>{"a": 1}', SCHEMA)
    assert not may('{"a": 1}', SCHEMA)
