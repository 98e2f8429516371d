"""What goes first: sentences, phrases and words in the order in which they say least for their length. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from quickthaw.compression.segments import Range, Segments
from quickthaw.compression.spans import Kind, Span, is_unit

WHOLE = 1.3
"""So many times as much counts what a sentence or a phrase says: single words go first, what is told goes last."""

_BRACKET = re.compile(r"[()\[\]{}]")
_OPENING = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Plan:
    """Words in the order of their deletion, with the costs of what is deleted up to each step."""

    order: list[int]
    steps: list[int]
    """After each step, how many of `order` are deleted: the words of a sentence or a phrase go together."""
    costs: list[float]
    """After each step, how much is deleted, in the unit of the words' costs."""

    def deleted(self, cost: float) -> frozenset[int]:
        """Return the words of the fewest steps that delete so much; all that may go where that is less."""
        step = bisect_left(self.costs, cost)
        return frozenset(self.order[: self.steps[min(step, len(self.steps) - 1)]]) if self.steps else frozenset()


def plan(text: str, parts: Segments, spans: Sequence[Span], scores: Sequence[float], costs: Sequence[float]) -> Plan:
    """Rank what may be deleted by the score lost per cost saved.

    A sentence or a phrase may go if it holds no protected word and closes the brackets that it opens; a word also if it
    neither ends a sentence nor follows an opening bracket that stands alone.
    """
    kept = marked(parts.words, spans)
    if 1 not in kept:
        kept[max(range(len(kept)), key=scores.__getitem__)] = 1  # so that something stays
    partners = _partners(text, parts.words, kept)
    units = [unit for unit in {*parts.sentences, *parts.phrases} if _may_go(unit, kept, partners)]
    held = {end - 1 for _, end in parts.sentences}
    held |= {index + 1 for index in partners if not text[slice(*parts.words[index])].strip("([{")}  # never to be "( )"
    units += [
        (index, index + 1)
        for index in range(len(parts.words))
        if not kept[index] and index not in partners and index not in held
    ]
    lost, saved = [0.0, *accumulate(scores)], [0.0, *accumulate(costs)]

    def density(unit: Range) -> tuple[float, Range]:
        start, end = unit
        value = (lost[end] - lost[start]) / (saved[end] - saved[start])
        return (value if end - start == 1 else WHOLE * value, unit)

    return _steps(sorted(units, key=density), costs)


def _steps(ranked: Sequence[Range], costs: Sequence[float]) -> Plan:
    gone = bytearray(len(costs))
    made = Plan([], [], [])
    total = 0.0
    for start, end in ranked:
        for index in range(start, end):
            if not gone[index]:
                gone[index] = 1
                made.order.append(index)
                total += costs[index]
        made.steps.append(len(made.order))
        made.costs.append(total)
    return made


def marked(words: Sequence[Range], spans: Sequence[Span]) -> bytearray:
    """Return for each word whether a span touches it."""
    starts = [start for start, _ in words]
    ends = [end for _, end in words]
    kept = bytearray(len(words))
    for span in spans:
        first, last = bisect_right(ends, span.start), bisect_left(starts, span.end)
        kept[first:last] = b"\1" * (last - first)
    return kept


def _partners(text: str, words: Sequence[Range], kept: bytearray) -> dict[int, Range]:
    """Return the words that hold brackets, and from which to which word their partners stand.

    Words with a bracket that has no partner are marked as kept: whatever is deleted, they stay without one.
    """
    found: dict[int, Range] = {}
    starts = [start for start, _ in words]
    stack: list[tuple[str, int]] = []
    for match in _BRACKET.finditer(text):
        bracket, index = match[0], bisect_right(starts, match.start()) - 1
        if bracket not in _OPENING:
            stack.append((bracket, index))
        elif stack and stack[-1][0] == _OPENING[bracket]:
            first = stack.pop()[1]
            for one in (first, index):
                low, high = found.get(one, (first, index))
                found[one] = (min(low, first), max(high, index))
        else:
            kept[index] = 1
    for _, index in stack:
        kept[index] = 1
    return {index: (low, high) for index, (low, high) in found.items() if (low, high) != (index, index)}


def _may_go(unit: Range, kept: bytearray, partners: dict[int, Range]) -> bool:
    start, end = unit
    if kept.find(1, start, end) >= 0:
        return False
    inside = (partners[index] for index in range(start, end) if index in partners)
    return all(start <= low and high < end for low, high in inside)


def restored(text: str, parts: Segments, spans: Sequence[Span], deleted: frozenset[int]) -> frozenset[int]:
    """Return what is deleted, less the words without which two numbers, or a number and a unit, would be one.

    "From 3 to 5" without its "to" would read as another number: of what stood between, the last plain word stays.
    """
    numbers = marked(parts.words, [span for span in spans if span.kind is Kind.NUMBER])
    back: set[int] = set()
    run: list[int] = []
    was_number = False
    for index, (start, end) in enumerate(parts.words):
        if index in deleted:
            run.append(index)
            continue
        if run and was_number and (numbers[index] or is_unit(text[start:end])):
            plain = next((one for one in reversed(run) if _is_plain(text[slice(*parts.words[one])])), None)
            back.update(run if plain is None else [plain])
        was_number, run = bool(numbers[index]), []
    return deleted - back


def _is_plain(word: str) -> bool:
    return not is_unit(word) and not _BRACKET.search(word)


def kept_ranges(text: str, words: Sequence[Range], deleted: frozenset[int]) -> tuple[Range, ...]:
    """Return the parts of a text that stay.

    Of the white space around words that go, one piece stays: that with the most line ends, else the first;
    at the beginning and at the end of the text, what stood there.
    """
    pieces: list[Range] = []
    gap: Range | None = None
    place = 0
    for index, (start, end) in enumerate(words):
        before = (place, start)
        gap = before if gap is None else _wider(text, gap, before) if pieces else gap
        place = end
        if index not in deleted:
            pieces += [gap, (start, end)]
            gap = None
    pieces.append((place, len(text)))
    return _joined(pieces)


def _wider(text: str, one: Range, other: Range) -> Range:
    if text.count("\n", *other) > text.count("\n", *one) or one[0] == one[1]:
        return other
    return one


def _joined(pieces: Sequence[Range]) -> tuple[Range, ...]:
    joined: list[Range] = []
    for start, end in pieces:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        elif start < end:
            joined.append((start, end))
    return tuple(joined)


def mapped(kept: Sequence[Range], within: Sequence[Range]) -> tuple[Range, ...]:
    """Return parts of a text that is made of the parts `within` of an original, as parts of that original."""
    found: list[Range] = []
    place = 0
    for start, end in within:
        shift, last = start - place, place + end - start
        found += [(max(a, place) + shift, min(b, last) + shift) for a, b in kept if a < last and b > place]
        place = last
    return _joined(found)
