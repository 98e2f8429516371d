"""What engines promise of answers that are held to a structure, of calls, and of how an answer is narrowed and ends."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Delta, ToolCallDelta
from quickthaw_platform.contracts import Engine, GenerationRequest, Reading
from tests.unit.engines.tiny import Collector, generate, request

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
MUST_CALL = Reading(calls="hermes", tools=(TOOL,), must_call=True, parallel=False)


def is_person(text: str) -> bool:
    jsonschema.validate(json.loads(text), PERSON)
    return True


STRUCTURES: dict[str, tuple[dict[str, Any], Callable[[str], Any]]] = {
    "json_schema": ({"json_schema": PERSON}, is_person),
    "regex": ({"regex": "[a-z]{3}-[0-9]{1,3}"}, re.compile("[a-z]{3}-[0-9]{1,3}").fullmatch),
    "choice": ({"choice": ["yes", "yesterday", "no"]}, {"yes", "yesterday", "no"}.__contains__),
    "lark": ({"grammar": 'start: "a" b b?\nb: "c" | "d"'}, re.compile("a[cd][cd]?").fullmatch),
    "gbnf": ({"grammar": 'root ::= "x" [0-9] [0-9]?'}, re.compile("x[0-9][0-9]?").fullmatch),
}
over_structures = pytest.mark.parametrize("name", STRUCTURES)


def constrained(name: str, **more: Any) -> dict[str, Any]:
    return {"structure": STRUCTURES[name][0], "max_tokens": 100, **more}


def joined(deltas: Sequence[Delta]) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Return the text, the thoughts, and of each call the id, the name and the arguments."""
    pieces = [call for delta in deltas for call in delta.tool_calls]
    calls = [_call([piece for piece in pieces if piece.index == index]) for index in sorted({p.index for p in pieces})]
    return "".join(map(str, deltas)), "".join(delta.reasoning for delta in deltas), calls


def _call(pieces: Sequence[ToolCallDelta]) -> tuple[str, str, str]:
    ids, names, arguments = zip(*((piece.id, piece.name, piece.arguments) for piece in pieces), strict=True)
    return "".join(ids), "".join(names), "".join(arguments)


def calling(tokens: Sequence[int], reading: Reading, generated: int = 0, **fields: Any) -> GenerationRequest:
    return replace(request(tokens, generated=generated, **{"max_tokens": 120, **fields}), reading=reading)


def run(engine: Engine, asked: GenerationRequest) -> Collector:
    collector = Collector()
    engine.submit(asked, collector)
    return collector.wait()


def token(engine: Engine, letter: str) -> int:
    return engine.tokenizer.encode(letter)[-1]


@over_structures
def test_an_answer_is_what_its_structure_says(engine: Engine, prompt: list[int], name: str) -> None:
    for seed in range(5):
        answer = generate(engine, prompt, seed=seed, temperature=[1, 0, 2][seed % 3], **constrained(name))
        assert STRUCTURES[name][1](answer.text), answer.text
        assert answer.deltas[-1].finish_reason == "stop"


@over_structures
def test_a_resumed_structure_equals_an_undisturbed_one_at_every_cut(
    engine: Engine, prompt: list[int], name: str
) -> None:
    whole = generate(engine, prompt, seed=5, **constrained(name))
    for cut in range(1, len(whole.tokens)):
        rest = generate(engine, prompt + whole.tokens[:cut], generated=cut, seed=5, **constrained(name))
        assert rest.tokens == whole.tokens[cut:]
        assert joined([*whole.deltas[:cut], *rest.deltas]) == joined(whole.deltas)
        assert rest.deltas[-1].finish_reason == "stop"


@over_structures
def test_a_held_structure_goes_on_as_if_undisturbed(engine: Engine, prompt: list[int], name: str) -> None:
    whole = generate(engine, prompt, seed=5, **constrained(name))
    for first in range(len(whole.tokens) - 1):
        second = (first + len(whole.tokens) - 1) // 2
        moved, held = Collector(), queue.SimpleQueue[int]()
        known = prompt + whole.tokens[:first]
        engine.hold(request(known, "moved", first, seed=5, **constrained(name)), moved, on_held=held.put)
        assert held.get(timeout=30) == len(known)
        engine.extend("moved", whole.tokens[first:second])
        engine.release("moved")
        assert moved.wait().tokens == whole.tokens[second:]
        assert joined([*whole.deltas[:second], *moved.deltas]) == joined(whole.deltas)


def test_structures_do_not_depend_on_what_runs_beside_them(engine: Engine, prompt: list[int]) -> None:
    names = [*STRUCTURES, None] * 2
    asked: list[dict[str, Any]] = [
        {"seed": index, **(constrained(name) if name else {})} for index, name in enumerate(names)
    ]
    alone = [generate(engine, prompt, **fields).tokens for fields in asked]
    together = [Collector() for _ in asked]
    for index, (fields, collector) in enumerate(zip(asked, together, strict=True)):
        engine.submit(request(prompt, f"r{index}", **fields), collector)
    assert [collector.wait().tokens for collector in together] == alone


def test_a_structure_has_logprobs_of_the_chosen_tokens(engine: Engine, prompt: list[int]) -> None:
    answer = generate(engine, prompt, logprobs=2, **constrained("json_schema"))
    entries = [entry for delta in answer.deltas for entry in delta.logprobs]
    assert [entry.token for entry in entries] == answer.tokens
    assert all(entry.logprob is not None and entry.logprob > -1e9 for entry in entries)


@pytest.mark.parametrize("include", [False, True])
def test_a_stop_string_ends_a_structure_too(engine: Engine, prompt: list[int], include: bool) -> None:
    answer = generate(engine, prompt, stop=['e":'], include_stop=include, **constrained("json_schema"))
    assert answer.text == '{"name":'[: None if include else -3]
    assert (answer.deltas[-1].finish_reason, answer.deltas[-1].stop) == ("stop", 'e":')


def test_biases_choose_among_what_a_structure_allows(engine: Engine, prompt: list[int]) -> None:
    answers: dict[str, Any] = {"structure": {"choice": ["alpha", "beta"]}, "temperature": 0}
    for letter, expected in (("a", "alpha"), ("b", "beta")):
        biased = {token(engine, letter): 100.0, token(engine, "z"): 100.0}
        assert generate(engine, prompt, logit_bias=biased, **answers).text == expected


def test_a_bias_rules_a_token_out_without_a_structure(engine: Engine, prompt: list[int]) -> None:
    first = generate(engine, prompt, temperature=0, max_tokens=1, ignore_eos=True).tokens[0]
    other = generate(engine, prompt, temperature=0, max_tokens=1, ignore_eos=True, logit_bias={first: -100.0}).tokens
    assert other != [first]


def test_before_the_least_length_neither_the_model_nor_a_stop_ends_an_answer(engine: Engine) -> None:
    prompt = engine.tokenizer.encode("aaa")
    for seed in range(6):
        ends: dict[str, Any] = {"stop": ["a"], "stop_token_ids": [token(engine, "a")]}
        ends["structure"] = {"regex": "[ab]{1,30}"}
        answer = generate(engine, prompt, seed=seed, min_tokens=12, max_tokens=30, **ends)
        assert len(answer.tokens) > 12
        assert set(answer.text[:11]) <= set("ab")


def test_a_complete_structure_ends_an_answer_before_its_least_length_and_where_eos_is_ignored(
    engine: Engine, prompt: list[int]
) -> None:
    for more in ({"min_tokens": 50}, {"ignore_eos": True}):
        answer = generate(engine, prompt, **constrained("choice", **more))
        assert answer.text in ("yes", "yesterday", "no")
        assert answer.deltas[-1].finish_reason == "stop"


def test_where_eos_is_ignored_a_structure_goes_on_as_far_as_it_can(engine: Engine, prompt: list[int]) -> None:
    answer = generate(engine, prompt, ignore_eos=True, structure={"regex": "[ab]{1,9}"})
    assert re.fullmatch("[ab]{9}", answer.text)


@pytest.mark.parametrize("include", [False, True])
def test_a_stop_token_ends_an_answer_and_its_text_is_left_out_unless_asked_for(
    engine: Engine, prompt: list[int], include: bool
) -> None:
    whole = generate(engine, prompt, seed=2, max_tokens=30, ignore_eos=True)
    stop = whole.tokens[6]
    stopped = generate(
        engine, prompt, seed=2, max_tokens=30, ignore_eos=True, stop_token_ids=[stop], include_stop=include
    )
    kept = whole.tokens[: whole.tokens.index(stop) + include]
    assert stopped.tokens == whole.tokens[: whole.tokens.index(stop) + 1]
    assert stopped.text == engine.tokenizer.decode(prompt + kept)[len(engine.tokenizer.decode(prompt)) :]
    assert stopped.deltas[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", {10**6: 1.0}),  # no such token
        ("stop_token_ids", [10**6]),  # no such token
        ("structure", {"regex": "a("}),  # no expression
        ("structure", {"regex": "a(?=b)"}),  # one that looks ahead
        ("structure", {"grammar": "start: nowhere"}),  # a rule that is not there
        ("structure", {"grammar": 'root ::= "a'}),  # llama.cpp's syntax, broken off
        ("structure", {"json_schema": False}),  # allows nothing
        ("structure", {"json_schema": {"type": "array", "uniqueItems": True}}),  # a keyword that is not supported
        ("structure", {"json_schema": {"$ref": "https://example.org/schema"}}),  # lies elsewhere
    ],
)
def test_what_cannot_be_held_to_is_refused_at_submit_by_its_field(
    engine: Engine, prompt: list[int], field: str, value: Any
) -> None:
    fields: dict[str, Any] = {field: value}
    with pytest.raises(InvalidRequest) as refused:
        engine.submit(request(prompt, **fields), Collector())
    assert refused.value.param == field


def test_a_structure_that_cannot_be_followed_fails_alone(engine: Engine, prompt: list[int]) -> None:
    asked: dict[str, Any] = {"seed": 3, **constrained("json_schema")}
    alone = generate(engine, prompt, **asked)
    endless, beside = Collector(), Collector()
    engine.submit(request(prompt, "endless", structure={"grammar": 'start: x\nx: "a" x'}), endless)
    engine.submit(request(prompt, "beside", **asked), beside)
    with pytest.raises(InvalidRequest) as failed:
        endless.wait()
    assert failed.value.param == "structure"
    assert beside.wait().tokens == alone.tokens


def test_tokens_that_a_structure_does_not_allow_fail_the_request_that_was_told_them(
    engine: Engine, prompt: list[int]
) -> None:
    moved = Collector()
    engine.hold(request(prompt, "moved", **constrained("choice")), moved, on_held=lambda _known: None)
    engine.extend("moved", [token(engine, "z")])
    engine.release("moved")
    with pytest.raises(InvalidRequest):
        moved.wait()
    assert generate(engine, prompt, **constrained("choice")).text


def test_a_call_that_must_be_is_one_of_a_known_tool_with_valid_arguments(engine: Engine, prompt: list[int]) -> None:
    for seed in range(4):
        answer = run(engine, calling(prompt, MUST_CALL, seed=seed))
        text, reasoning, ((_id, name, arguments),) = joined(answer.deltas)
        assert (text, reasoning, name) == ("", "", "weather")
        jsonschema.validate(json.loads(arguments), WEATHER)
        assert answer.deltas[-1].finish_reason == "tool_calls"


def test_a_resumed_call_equals_an_undisturbed_one_at_every_cut(engine: Engine, prompt: list[int]) -> None:
    whole = run(engine, calling(prompt, MUST_CALL, seed=1))
    for cut in range(1, len(whole.tokens)):
        rest = run(engine, calling(prompt + whole.tokens[:cut], MUST_CALL, cut, seed=1))
        assert rest.tokens == whole.tokens[cut:]
        assert joined([*whole.deltas[:cut], *rest.deltas]) == joined(whole.deltas)
        assert rest.deltas[-1].finish_reason == "tool_calls"


def test_calls_of_different_prompts_seeds_and_choices_have_different_ids(engine: Engine, prompt: list[int]) -> None:
    asked = [calling(prompt, MUST_CALL, seed=1), calling(prompt, MUST_CALL, seed=2)]
    asked += [calling(prompt[1:], MUST_CALL, seed=1), replace(asked[0], choice=1)]
    ids = [joined(run(engine, one).deltas)[2][0][0] for one in asked]
    assert len(set(ids)) == len(asked)
    assert all(re.fullmatch("call_[0-9a-zA-Z]{9}", found) for found in ids)


def test_a_strict_tool_whose_calls_cannot_be_constrained_is_refused_by_the_field(
    engine: Engine, prompt: list[int]
) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters, "strict": True}}
    with pytest.raises(InvalidRequest, match="uniqueItems") as refused:
        engine.submit(calling(prompt, Reading(calls="hermes", tools=(tool,))), Collector())
    assert refused.value.param == "tools"
