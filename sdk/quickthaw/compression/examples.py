"""Few-shot examples: paragraphs of one form before the question, which may go whole. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from quickthaw.compression.segments import Range

ENOUGH = 0.75
"""Of the target, so much is to be used. Beyond it, which examples stay counts for more than how many tokens.

Short of it one more stays and words go, which costs answers more than whole examples do (docs/prompts.md).
"""

MOST_STEPS = 1 << 26
"""Beyond so many examples times tokens the best choice is not looked for: one small example more or less is nothing."""

_BREAK = re.compile(r"\n[^\S\n]*\n\s*")
_LABEL = re.compile(r"^[^\S\n]*((?:\w+[^\S\n]){0,2}\w+[:：])", re.MULTILINE)
_WORD = re.compile(r"\w+")


def examples(text: str) -> tuple[list[Range], Range] | None:
    """Return where a few-shot prompt has its examples, each with the blank lines after it, and its question.

    The question is the last paragraph. An example is a paragraph that begins with the question's first label and has
    the others behind it ("Question:", "Answer:"), with the paragraphs without any label that stand between it and the
    next example. There are at least two, one after the other, up to the question. None for any other text.
    """
    starts = [0, *(match.end() for match in _BREAK.finditer(text.rstrip()))]
    *pieces, question = zip(starts, [*starts[1:], len(text)], strict=True)
    form = _labels(text, question)
    found: list[Range] = []
    end = question[0]
    for piece in reversed(pieces):
        labels = _labels(text, piece)
        if form and _is_like(labels, form):
            found.append((piece[0], end))
            end = piece[0]
        elif labels or end == question[0]:
            break
    return (found[::-1], question) if len(found) > 1 else None


def _is_like(labels: tuple[str, ...], form: tuple[str, ...]) -> bool:
    behind = iter(labels)
    return labels[:1] == form[:1] and all(label in behind for label in form)


def with_fewer_examples(text: str, target: int, count_tokens: Callable[[str], int]) -> Iterator[tuple[Range, ...]]:
    """Yield what may stay of a text that is to have `target` tokens: it with fewer of its examples, but at least one.

    First comes what has at most `target` tokens, if that can be, and as many of them as whole examples allow; where
    that leaves much of the target unused, then the same with the shortest of the other examples, which has more than
    `target` tokens. A text that is no few-shot prompt is yielded whole.
    """
    found = examples(text)
    if found is None:
        yield ((0, len(text)),)
        return
    shots = _best_first(text, *found)
    sizes = [count_tokens(text[start:end]) for start, end in shots]
    others = count_tokens(text) - sum(sizes)
    places = chosen(sizes, target - others) or [sizes.index(min(sizes))]
    yield _rest(text, shots, places)
    left = sorted(set(range(len(shots))) - set(places))
    if left and others + sum(sizes[place] for place in places) < ENOUGH * target:
        yield _rest(text, shots, [*places, min(left, key=sizes.__getitem__)])


def chosen(sizes: Sequence[int], room: int) -> list[int]:
    """Return the places of what is kept: together at most `room`, and about as much as any choice comes to.

    Of all choices that come to at least ENOUGH of the most, it is the one with the first, else with the second …
    """
    if room < 0:
        return []
    if len(sizes) * room > MOST_STEPS:
        return _first_that_fit(sizes, room)
    reached = [1]  # for the last 0, 1, 2 … of them: bit n is set where some of them come to n
    for size in reversed(sizes):
        reached.append((reached[-1] | reached[-1] << size) & ((2 << room) - 1))
    most = reached.pop().bit_length() - 1
    least = math.ceil(ENOUGH * most)
    kept: list[int] = []
    for place, size in enumerate(sizes):
        behind, least_left = reached.pop(), max(least - size, 0)
        if size <= most and (behind & ((2 << (most - size)) - 1)) >> least_left:
            kept.append(place)
            least, most = least_left, most - size
    return kept


def _first_that_fit(sizes: Sequence[int], room: int) -> list[int]:
    kept: list[int] = []
    for place, size in enumerate(sizes):
        if size <= room:
            kept.append(place)
            room -= size
    return kept


def _labels(text: str, piece: Range) -> tuple[str, ...]:
    return tuple(_LABEL.findall(text[piece[0] : piece[1]]))


def _best_first(text: str, shots: list[Range], question: Range) -> list[Range]:
    """Return the examples by the sum of two ranks: how like the question they are, and how near to it they stand.

    Likeness counts each word that both have, a rare one more than one that most examples have. That examples like the
    question serve best: Liu et al. 2022, "What Makes Good In-Context Examples for GPT-3?"; that models follow the last
    ones most: Zhao et al. 2021, "Calibrate Before Use".
    """
    bags = {shot: set(_WORD.findall(text[shot[0] : shot[1]].lower())) for shot in shots}
    held = Counter(word for bag in bags.values() for word in bag)
    asked = set(_WORD.findall(text[question[0] : question[1]].lower()))
    weight = {word: math.log1p(len(shots) / count) for word, count in held.items()}

    def likeness(shot: Range) -> float:
        bag = bags[shot]
        return sum(weight[word] for word in sorted(bag & asked)) / math.sqrt(len(bag))

    near = shots[::-1]
    ranks = Counter({shot: rank for rank, shot in enumerate(near)})
    ranks.update({shot: rank for rank, shot in enumerate(sorted(near, key=likeness, reverse=True))})
    return sorted(near, key=ranks.__getitem__)


def _rest(text: str, shots: Sequence[Range], kept: Sequence[int]) -> tuple[Range, ...]:
    """Return the text without those of its examples that are not kept."""
    gone = sorted(set(shots) - {shots[place] for place in kept})
    edges = [0, *(edge for shot in gone for edge in shot), len(text)]
    return tuple((start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end)
