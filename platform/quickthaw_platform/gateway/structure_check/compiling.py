"""Trying a structure: its grammar is compiled as engines do it, and a short answer begun. Pure, but takes time.

The vocabulary is a small one of bytes and pairs of letters: whether a grammar can be followed hardly depends on it.
"""

from __future__ import annotations

import random
import string
from functools import cache
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper
from llguidance.gbnf_to_lark import any_to_lark

from quickthaw_platform.gateway.structure_check.finiteness import is_endless
from quickthaw_platform.gateway.structure_check.keywords import unsupported
from quickthaw_platform.gateway.structure_check.refusal import Refusal

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

TRIED_TOKENS = 32
_END = 256
_LONGEST_REASON = 300
_JSON: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,
    "coerce_one_of": False,
}


class _Vocabulary:
    """Bytes, the end, and pairs of letters, as llguidance asks for a tokenizer."""

    eos_token_id = _END
    bos_token_id = None
    special_token_ids = (_END,)
    tokens = (
        *(bytes([value]) for value in range(256)),
        b"<end>",
        *((a + b).encode() for a in string.ascii_letters for b in string.ascii_letters),
    )

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


def tried(kind: str, value: Any) -> Refusal | None:
    """Return why a structure cannot be followed, None where it can: `value` is that of Structure's field `kind`."""
    if kind == "json_schema":
        refusal = _refused_schema(value)
        if refusal is not None:
            return refusal
    try:
        grammar = _grammar(kind, value)
    except Exception as error:  # noqa: BLE001 (the reader of llama.cpp's grammars raises plain ones)
        return Refusal(_short(str(error)))
    return _followed(grammar)


def _refused_schema(schema: Any) -> Refusal | None:
    if schema is False:
        return Refusal("nothing satisfies the schema false")
    refusal = unsupported(schema)
    if refusal is None and is_endless(schema):
        return Refusal("nothing of finite size satisfies it: each value would have to hold another one of its kind")
    return refusal


def _grammar(kind: str, value: Any) -> str:
    if kind == "json_schema":
        return LLMatcher.grammar_from_json_schema({} if value is True else value, overrides=_JSON)
    if kind == "regex":
        return LLMatcher.grammar_from_regex(value)
    if kind == "choice":
        return LLMatcher.grammar_from_regex("|".join(map(_literal, value)))
    return LLMatcher.grammar_from_lark(any_to_lark(value))


def _literal(text: str) -> str:
    """Return the regular expression that matches a text and nothing else."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)


def _followed(grammar: str) -> Refusal | None:
    """Begin an answer with tokens drawn from those that the grammar allows."""
    matcher = LLMatcher(_tokenizer(), grammar, log_level=0, limits=_limits())
    draw = random.Random(0)
    for _ in range(TRIED_TOKENS):
        if matcher.is_stopped() and not matcher.is_error():
            return None
        allowed = int.from_bytes(matcher.compute_bitmask() if not matcher.is_error() else b"", "little")
        if matcher.is_error():
            return Refusal(_short(matcher.get_error()))
        token = _drawn(allowed & ~(1 << _END), draw)
        if token is None:
            return None if matcher.is_accepting() else Refusal("nothing satisfies it")
        matcher.consume_token(token)
    return None


def _drawn(allowed: int, draw: random.Random) -> int | None:
    """Return one of the tokens whose bits are set; None: there is none."""
    count = allowed.bit_count()
    if not count:
        return None
    for _ in range(draw.randrange(min(count, 64))):
        allowed &= allowed - 1
    return (allowed & -allowed).bit_length() - 1


@cache
def _tokenizer() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(_Vocabulary()))


def _limits() -> LLParserLimits:
    """Return the limits that engines have."""
    return LLParserLimits(
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=100_000,
        step_max_items=50_000,
        max_lexer_states=30_000,
        max_grammar_size=500_000,
        verbose_errors=False,
    )


def _short(reason: str) -> str:
    if "coerce_one_of" in reason:
        return "a value could satisfy several branches of a oneOf; write anyOf, or keep them apart by a const"
    if reason.startswith("panic"):
        return "it makes a grammar that is too large"
    said = " ".join(reason.replace("<non-verbose/>", "").split())
    return said if len(said) <= _LONGEST_REASON else f"{said[:_LONGEST_REASON]} …"
