"""The text of the grammar that a structure means, in the form that llguidance reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher
from llguidance.gbnf_to_lark import GbnfToLarkError, any_to_lark

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Structure

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_JSON: JsonCompileOptions = {
    "whitespace_flexible": False,  # where space is free a small model may write it without end
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,  # a keyword that is not understood is an error
    "coerce_one_of": False,
}
"""These hold whatever a schema says of them itself."""

_DEEPEST = 120


def structure_grammar(structure: Structure) -> str:
    """Return the serialized grammar: a JSON object whose list `grammars` has one entry.

    Raises InvalidRequest where a schema nests too deeply or a grammar in llama.cpp's syntax cannot be read. All else
    that may be wrong with a grammar shows when it is compiled.
    """
    try:
        return _grammar(structure)
    except (ValueError, RecursionError, GbnfToLarkError) as error:
        raise InvalidRequest(f"the structure is no grammar: {error}", param="structure") from error


def _grammar(structure: Structure) -> str:
    if structure.regex is not None:
        return LLMatcher.grammar_from_regex(structure.regex)
    if structure.choice is not None:
        return LLMatcher.grammar_from_regex("|".join(map(_literal, structure.choice)))
    if structure.grammar is not None:
        return LLMatcher.grammar_from_lark(any_to_lark(structure.grammar))
    return LLMatcher.grammar_from_json_schema(_schema(structure.json_schema), overrides=_JSON)


def _schema(schema: dict[str, Any] | bool | None) -> dict[str, Any]:
    """Return a schema as an object: some tools write true for any value, and false for none."""
    if isinstance(schema, dict):
        _check_depth(schema)
        return schema
    return {} if schema else {"enum": []}


def _check_depth(schema: dict[str, Any]) -> None:
    """Raise ValueError for a schema that nests so deeply that llguidance would refuse it, or overflow its stack."""
    level: list[Any] = [schema]
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise ValueError(f"the schema nests deeper than {_DEEPEST} objects and lists")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _literal(text: str) -> str:
    """Return the regular expression that matches a text and nothing else."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)
