"""What the echo engine says where a structure does not let it say the prompt back."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.generation import Sampling, Structure
from quickthaw_backends.engines.constraint import Constraint
from quickthaw_backends.engines.echo_tokenizer import END, EchoTokenizer
from quickthaw_backends.engines.echo_voice import Voice, echo_guides
from quickthaw_backends.engines.structure.grammar import structure_grammar

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array"}},
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def said(echo: str, **fields: Any) -> str:
    """Return what is said until it ends, at most 200 tokens."""
    sampling = Sampling.model_validate(fields)
    guide = None
    if sampling.structure is not None:
        guide = echo_guides(EchoTokenizer()).guide(structure_grammar(sampling.structure))
    constraint = Constraint(sampling, frozenset({END}), guide)
    voice, tokens = Voice(echo.encode(), constraint, endless=False), list[int]()
    while len(tokens) < 200:
        token = voice.choose(len(tokens))
        if token == END:
            break
        tokens.append(token)
        voice.hear(token)
        if constraint.advance(token):
            break
    return bytes(tokens).decode()


@pytest.mark.parametrize(
    ("echo", "structure", "expected"),
    [
        ("Hello", {}, "Hello"),  # nothing in the way
        ('{"name": "Ada", "age": 36, "tags": ["x"]}', {"json_schema": PERSON}, None),  # it fits as it is
        ("no", {"choice": ["yes", "no"]}, "no"),
        ("abc-12", {"regex": "[a-z]+-[0-9]+"}, "abc-12"),
    ],
)
def test_what_may_be_said_back_is(echo: str, structure: dict[str, Any], expected: str | None) -> None:
    fields: dict[str, Any] = {"structure": structure} if structure else {}
    assert said(echo, **fields) == (expected or echo)


def test_what_must_be_is_filled_in_around_the_echo_and_closed() -> None:
    text = said("Hello", structure={"json_schema": PERSON})
    assert text.startswith('{"name": "Hello", "age": ')
    assert text.endswith(', "tags": []}')


@pytest.mark.parametrize("regex", ["a+b", "(.|\n)*x", "[0-9]{3}é"])
def test_every_structure_is_come_to_an_end_with(regex: str) -> None:
    assert Structure(regex=regex)
    assert 0 < len(said("zzz", structure={"regex": regex})) < 200


def test_biases_and_the_least_length_hold_for_the_echo() -> None:
    assert said("ab", min_tokens=5) == "ababa"
    assert said("ab", logit_bias={ord("c"): 100.0}, min_tokens=0)[:3] == "ccc"
    assert "a" not in said("ab", logit_bias={ord("a"): -100.0})
