"""Protected spans: the parts of a text that are never deleted, because a prompt without them means something else.

What a word is by itself (a number, a name, a negation …) is decided word by word; what stretches over several (code,
JSON, quotes, slots) by patterns, each of which reads the text once.
"""

from __future__ import annotations

import enum
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quickthaw.compression import lexicon
from quickthaw.compression.code_lines import code_lines
from quickthaw.compression.json_values import json_values, untouchable
from quickthaw.compression.segments import Range, Segments

NEGATED_WORDS = 4
"""So many words after a negation stay with it, to the end of its phrase: what is denied must not change."""


class Kind(enum.StrEnum):
    """What a protected span is."""

    NUMBER = "number"  # digits, numerals and number words, in any script
    UNIT = "unit"  # what follows a number and says what it counts
    TYPE = "type"  # names of types and literals: float, null, true
    URL = "url"  # addresses of pages, files and mail
    SYMBOL = "symbol"  # words of identifiers and signs: snake_case, camelCase, a=b, <<3*4=12>>
    SLOT = "slot"  # what a template fills in: {name}, <name>
    QUOTE = "quote"  # what stands between quotation marks
    NEGATION = "negation"
    NEGATED = "negated"  # what a negation denies
    NAME = "name"  # capitalised words that are no common ones
    CODE = "code"  # fenced, in backticks, or a line that reads as code
    JSON = "json"  # objects and arrays, but for the insides of long strings
    LABEL = "label"  # what stands at the beginning of a line, before a colon: who speaks, what follows
    QUESTION = "question"


BY_THE_WORD = frozenset({Kind.NUMBER, Kind.TYPE, Kind.URL, Kind.SYMBOL, Kind.NEGATION})
"""Kinds that a word has by itself, wherever it stands."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A protected part of a text, in characters."""

    start: int
    end: int
    kind: Kind


_EDGES = ".,;:!?…()[]{}\"'`*“”„‘’«»‹›。、，！？；：؟،؛।-–—"
_DIGIT = re.compile(r"\d")
_URL = re.compile(r"://|^www\.|\w@\w|^[~.]{0,2}/\w|\.(?:com|org|net|io|py|txt|json|csv|html|md)\b")
_SYMBOL = re.compile(
    r"[_\\=<>{}|#$%^~`+@§©®™°]|[a-z][A-Z]|\w\(|\)\w|\w\[|\w\.\w|\w/\w|\w:\w|::|->|\*\*|[\u202a-\u202e\u2066-\u2069]"
)
_QUOTE_MARK = re.compile("[\"“”„«»‹›「」『』]|^'|'$|^‘")
_QUOTES = re.compile(
    "\"[^\"\n]*\"|“[^”\n]*”|„[^“”\n]*[“”]|«[^»\n]*»|「[^」\n]*」|『[^』\n]*』|(?<!\\w)'[^'\n]*'(?!\\w)"
)
_SLOTS = re.compile(r"\{[^{}\n]*\}|<[^<>\n]*>|\[[A-Z_ ]+\]")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_NEGATED_PART = re.compile("|".join(lexicon.NEGATION_PARTS))
_LABELS = re.compile(
    r"^[^\S\n]*(?:[#>*-]+[^\S\n]*)?(?:\w+[^\S\n]){0,2}\w+[:：](?=\s|$)|^[^\S\n]*(?:#+|[-*>•])(?=\s)", re.MULTILINE
)
_QUESTION_MARK = re.compile("[?？؟⸮]")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")


def protected(text: str, parts: Segments, question: str | None = None) -> list[Span]:
    """Return the protected spans of a text, by their start; they may overlap. ValueError: it lacks the question."""
    found = [*_of_words(text, parts), *_of_patterns(text)]
    asked = _named(text, question) if question else _asked(text, parts)
    found += [Span(*place, Kind.QUESTION) for place in asked]
    return sorted(found)


def kind_of(word: str) -> Kind | None:
    """Return what a word is by itself; NAME where it might be one."""
    bare = word.strip(_EDGES)
    if _DIGIT.search(word) or any(map(str.isnumeric, word)):
        return Kind.NUMBER
    if _URL.search(word):
        return Kind.URL
    if _SYMBOL.search(bare) or _SYMBOL.search(word):
        return Kind.SYMBOL
    lower = bare.lower().replace("’", "'")
    if lower in lexicon.NEGATIONS or lower.endswith("n't") or _NEGATED_PART.search(word):
        return Kind.NEGATION
    if lower in lexicon.NUMBERS or any(part in lexicon.NUMBERS for part in lower.split("-")[1:]):
        return Kind.NUMBER
    if lower in lexicon.TYPES:
        return Kind.TYPE
    if _QUOTE_MARK.search(word):
        return Kind.QUOTE
    is_name = bare[:1].isupper() and lower not in lexicon.COMMON
    return Kind.NAME if is_name and not lower.startswith(("i'", "it'", "that'", "there'", "what'")) else None


def _of_words(text: str, parts: Segments) -> Iterator[Span]:
    words = [text[start:end] for start, end in parts.words]
    distinct = set(words)
    kinds = {word: kind_of(word) for word in distinct}
    lower = {word.strip(_EDGES) for word in distinct if word[:1].islower()}
    firsts = {first for first, _ in parts.sentences}
    phrase_ends = iter([end for _, end in parts.phrases])
    phrase_end = 0
    for index, word in enumerate(words):
        if index >= phrase_end:
            phrase_end = next(phrase_ends)
        kind = kinds[word]
        if kind is None or (kind is Kind.NAME and index in firsts and word.strip(_EDGES).lower() in lower):
            continue
        yield Span(*parts.words[index], kind)
        if kind is Kind.NUMBER and index + 1 < len(words) and is_unit(words[index + 1]):
            yield Span(*parts.words[index + 1], Kind.UNIT)
        elif kind is Kind.NEGATION and (last := min(index + NEGATED_WORDS, phrase_end - 1)) > index:
            yield Span(parts.words[index + 1][0], parts.words[last][1], Kind.NEGATED)


def is_unit(word: str) -> bool:
    """Whether a word that follows a number says what it counts."""
    return word.rstrip(_EDGES).lower() in lexicon.UNITS


def _of_patterns(text: str) -> Iterator[Span]:
    values = json_values(text)
    for value in values:
        yield from (Span(*part, Kind.JSON) for part in untouchable(text, value) if part[0] < part[1])
    for start, end in _between(values, len(text)):
        yield from _spans(_QUOTES.finditer(text, start, end), Kind.QUOTE)
        yield from _spans(_SLOTS.finditer(text, start, end), Kind.SLOT)
    yield from _spans(_LABELS.finditer(text), Kind.LABEL)
    yield from _spans(_CODE.finditer(text), Kind.CODE)
    yield from (Span(*line, Kind.CODE) for line in code_lines(text))


def _spans(matches: Iterable[re.Match[str]], kind: Kind) -> Iterator[Span]:
    return (Span(*match.span(), kind) for match in matches)


def _between(ranges: Iterable[Range], length: int) -> Iterator[Range]:
    start = 0
    for first, last in ranges:
        yield start, first
        start = last
    yield start, length


def _named(text: str, question: str) -> list[Range]:
    start = text.rfind(question)
    if start < 0:
        raise ValueError("the text does not hold the question that is to stay in it")
    return [(start, start + len(question))]


def _asked(text: str, parts: Segments) -> list[Range]:
    """Return where the text asks for something.

    It is the last paragraph with a question mark, or else the last sentence with one, and what follows it; where that
    is more than half of the text, it is that sentence alone. Without any question mark it is the last sentence, if it
    begins in the second half.
    """
    length = len(text)
    marks = [match.start() for match in _QUESTION_MARK.finditer(text)]
    breaks = [match.end() for match in _PARAGRAPH.finditer(text.rstrip())]
    if not marks:
        start = _sentence_at(parts, length)
        return [(start, length)] if 2 * start >= length else []
    before = bisect_left(breaks, marks[-1])
    paragraph = breaks[before - 1] if before else 0
    sentence = _sentence_at(parts, marks[-1])
    for start in (paragraph, sentence):
        if 2 * start >= length:
            return [(start, length)]
    return [(sentence, marks[-1] + 1)]


def _sentence_at(parts: Segments, place: int) -> int:
    """Return where the last sentence begins that begins before a place."""
    starts = [parts.words[first][0] for first, _ in parts.sentences]
    index = bisect_left(starts, place) - 1
    return starts[index] if index >= 0 else 0
