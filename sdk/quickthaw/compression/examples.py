"""Few-shot examples: paragraphs of one form before the question, which may go whole, the least like it first. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable

from quickthaw.compression.segments import Range

_BREAK = re.compile(r"\n[^\S\n]*\n\s*")
_LABEL = re.compile(r"^[^\S\n]*((?:\w+[^\S\n]){0,2}\w+[:：])", re.MULTILINE)
_WORD = re.compile(r"\w+")


def examples(text: str) -> tuple[list[Range], Range] | None:
    """Return where a few-shot prompt has its examples, each with the blank lines after it, and its question.

    An example has the labels that begin the question's lines ("Question:", "Answer:"), in their order, and there are at
    least two of them, one after the other, up to the question, which is the last paragraph. None for any other text.
    """
    starts = [0, *(match.end() for match in _BREAK.finditer(text.rstrip()))]
    pieces = list(zip(starts, [*starts[1:], len(text)], strict=True))
    form = _form(text, pieces[-1])
    first = len(pieces) - 1
    while form and first and _form(text, pieces[first - 1]) == form:
        first -= 1
    return (pieces[first:-1], pieces[-1]) if len(pieces) - first > 2 else None


def without_examples(text: str, target: int, count_tokens: Callable[[str], int]) -> tuple[Range, ...]:
    """Return what stays of a text when examples go until it has `target` tokens; one of them stays.

    Those go first that share the fewest words with the question, a rare word counting more than one that most examples
    have. All of the text stays where it is no few-shot prompt.
    """
    found = examples(text)
    if found is None:
        return ((0, len(text)),)
    shots, question = found
    gone: set[Range] = set()
    left = count_tokens(text)
    for shot in _by_likeness(text, shots, question)[:-1]:
        if left <= target:
            break
        gone.add(shot)
        left -= count_tokens(text[shot[0] : shot[1]])
    return _rest(len(text), sorted(gone))


def _form(text: str, piece: Range) -> tuple[str, ...]:
    return tuple(_LABEL.findall(text[piece[0] : piece[1]]))


def _by_likeness(text: str, shots: list[Range], question: Range) -> list[Range]:
    """Return the examples, the least like the question first; of equals, the first."""
    bags = {shot: set(_WORD.findall(text[shot[0] : shot[1]].lower())) for shot in shots}
    held = Counter(word for bag in bags.values() for word in bag)
    asked = set(_WORD.findall(text[question[0] : question[1]].lower()))
    weight = {word: math.log1p(len(shots) / count) for word, count in held.items()}

    def likeness(shot: Range) -> float:
        bag = bags[shot]
        return sum(weight[word] for word in sorted(bag & asked)) / math.sqrt(len(bag))

    return sorted(shots, key=lambda shot: (likeness(shot), shot))


def _rest(length: int, gone: list[Range]) -> tuple[Range, ...]:
    edges = [0, *(edge for shot in gone for edge in shot), length]
    return tuple((start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end)
