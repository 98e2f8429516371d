"""Checks a compressed text against its original, from the two texts alone: it trusts nothing of how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from quickthaw.compression.json_values import json_values, shape
from quickthaw.compression.result import Reason
from quickthaw.compression.segments import words_of
from quickthaw.compression.spans import BY_THE_WORD, Kind, Span, is_unit, kind_of

_BRACKETS = frozenset("()[]{}")
_OPENING = {")": "(", "]": "[", "}": "{"}


def fault(original: str, text: str, spans: Sequence[Span]) -> Reason | None:
    """Return what is wrong with a compressed text; None if all is well. `spans` are those of the original."""
    if not text.strip():
        return Reason.EMPTY
    if not is_subsequence(text, original):
        return Reason.NOT_A_SUBSEQUENCE
    if _counted(text) != _counted(original) or not _hold(text, original, spans):
        return Reason.LOST_SPAN
    if [shape(text, value) for value in json_values(text)] != [
        shape(original, value) for value in json_values(original)
    ]:
        return Reason.INVALID_JSON
    return None if _open_ends(text) == _open_ends(original) else Reason.UNBALANCED


def is_subsequence(text: str, original: str) -> bool:
    """Whether deleting characters makes the one of the other."""
    place = 0
    for character in text:
        place = original.find(character, place) + 1
        if not place:
            return False
    return True


def _counted(text: str) -> Counter[tuple[Kind, str]]:
    """Count what words are by themselves, and units with their numbers."""
    words = words_of(text)
    kinds = {word: kind_of(word) for word in set(words)}
    counted = Counter((kind, word) for word in words if (kind := kinds[word]) in BY_THE_WORD)
    for number, unit in pairwise(words):
        if kinds[number] is Kind.NUMBER and is_unit(unit):
            counted[Kind.UNIT, f"{number} {unit}"] += 1
    return counted


def _hold(text: str, original: str, spans: Sequence[Span]) -> bool:
    """Whether all protected spans are in the text, in their order, each as it was."""
    place = end = 0
    for span in spans:
        if span.end <= end:
            continue
        start = max(span.start, end)
        found = text.find(original[start : span.end], place)
        if found < 0:
            return False
        place, end = found + span.end - start, span.end
    return True


def _open_ends(text: str) -> list[str]:
    """Return the brackets that are left when all that match are taken away."""
    left: list[str] = []
    for bracket in filter(_BRACKETS.__contains__, text):
        if left and left[-1] == _OPENING.get(bracket):
            left.pop()
        else:
            left.append(bracket)
    return left
