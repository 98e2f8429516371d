"""Compresses a text: the one function that everything else here is for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quickthaw.compression.deletion import Plan, kept_ranges, mapped, plan, restored
from quickthaw.compression.examples import with_fewer_examples
from quickthaw.compression.result import Compressed, Reason
from quickthaw.compression.scoring import Scorer
from quickthaw.compression.segments import Range, Segments, segments
from quickthaw.compression.spans import Span, protected
from quickthaw.compression.verifier import fault

ATTEMPTS = 6
"""How often at most the tokens of a shorter text are counted, to come near to what was asked for."""

NEAR = 0.98
"""Good enough: so much of the target is used."""

CHARACTERS_PER_TOKEN = 4


def compress(
    text: str,
    *,
    count_tokens: Callable[[str], int],
    scorer: Scorer,
    ratio: float | None = None,
    budget: int | None = None,
    question: str | None = None,
    drop_examples: bool = False,
) -> Compressed:
    """Return a text made shorter by deletion alone: to `ratio` of its tokens, or to at most `budget` tokens.

    Sentences, phrases and words go, those first that the scorer gives least. Protected spans (numbers, names, code,
    JSON, negations and more, see `spans`) stay as they are, and so does the question, found in the text unless it is
    named. The result is verified, and where it fails the original comes back with the reason. It never raises because
    of the text. Time is linear in the text's length (but for sorting); `count_tokens` is called at most ten times, and
    with `drop_examples` twice as often and once for each example.

    Args:
        text: any text
        count_tokens: how many tokens a text has
        scorer: how much each word says
        ratio: tokens that are to stay, of all: above 0 and at most 1
        budget: most tokens that are to stay: at least 1
        question: a part of the text that stays word for word; ValueError where the text does not hold it
        drop_examples: of a few-shot prompt, examples may go whole, before words do; what is in them is not protected
    """
    _check(ratio, budget)
    tokens = count_tokens(text)
    target = budget if budget is not None else math.ceil(tokens * (ratio or 1))
    if tokens <= target or not text.strip():
        return _unchanged(text, tokens, Reason.SHORT)
    if not drop_examples:
        return _compress(text, tokens, target, count_tokens, scorer, question)
    tried = [
        _with_examples(text, tokens, kept, target, count_tokens, scorer, question)
        for kept in with_fewer_examples(text, target, count_tokens)
    ]
    return min(tried, key=lambda one: (one.tokens > target, abs(target - one.tokens)))


def _with_examples(
    text: str, tokens: int, kept: tuple[Range, ...], target: int, count_tokens: Callable[[str], int], scorer: Scorer,
    question: str | None,
) -> Compressed:  # fmt: skip
    """Return a text of which some examples are gone already, less the words that it has too many."""
    shorter = "".join(text[start:end] for start, end in kept)
    rest = count_tokens(shorter)
    if rest <= target:
        return Compressed(shorter, Reason.COMPRESSED, tokens, rest, kept)
    done = _compress(shorter, rest, target, count_tokens, scorer, question)
    reason = Reason.PARTLY if done.tokens == rest < tokens else done.reason
    return Compressed(done.text, reason, tokens, done.tokens, mapped(done.kept, kept))


def _compress(
    text: str, tokens: int, target: int, count_tokens: Callable[[str], int], scorer: Scorer, question: str | None
) -> Compressed:
    parts = segments(text)
    spans = protected(text, parts, question)
    scores = scorer.scores(text, parts.words)
    if not all(map(math.isfinite, scores)):
        return _unchanged(text, tokens, Reason.NO_SCORES)
    costs = [1 + (end - start) / CHARACTERS_PER_TOKEN for start, end in parts.words]
    order = plan(text, parts, spans, scores, costs)
    if not order.steps:
        return _unchanged(text, tokens, Reason.PROTECTED)
    found = _Search(text, parts, spans, order, count_tokens).run(tokens, target)
    if found.tokens >= tokens:
        return _unchanged(text, tokens, Reason.NO_GAIN)
    wrong = fault(text, found.text, spans)
    if wrong is not None:
        return _unchanged(text, tokens, wrong)
    reason = Reason.COMPRESSED if found.tokens <= target else Reason.PARTLY
    return Compressed(found.text, reason, tokens, found.tokens, found.kept)


@dataclass(frozen=True, slots=True)
class _Found:
    text: str
    tokens: int
    kept: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for the least deletion that reaches the target: words' costs are only about proportional to tokens."""

    text: str
    parts: Segments
    spans: Sequence[Span]
    order: Plan
    count_tokens: Callable[[str], int]

    def run(self, tokens: int, target: int) -> _Found:
        """Return the longest text found within the target, else the shortest there is."""
        low, high = 0.0, self.order.costs[-1]  # what deletes too little; what deletes enough, or all
        low_tokens, best = tokens, self._without(high)
        if best.tokens > target:
            return best
        for _ in range(ATTEMPTS):
            if best.tokens >= NEAR * target:
                break
            share = (low_tokens - target) / max(low_tokens - best.tokens, 1)
            middle = low + (high - low) * min(max(share, 0.1), 0.9)
            found = self._without(middle)
            if found.tokens <= target:
                high, best = middle, found
            else:
                low, low_tokens = middle, found.tokens
        return best

    def _without(self, cost: float) -> _Found:
        deleted = restored(self.text, self.parts, self.spans, self.order.deleted(cost))
        kept = kept_ranges(self.text, self.parts.words, deleted)
        shorter = "".join(self.text[start:end] for start, end in kept)
        return _Found(shorter, self.count_tokens(shorter), kept)


def _check(ratio: float | None, budget: int | None) -> None:
    if (ratio is None) == (budget is None):
        raise ValueError("give either ratio or budget")
    if ratio is not None and not 0 < ratio <= 1:
        raise ValueError(f"ratio must be above 0 and at most 1, not {ratio}")
    if budget is not None and budget < 1:
        raise ValueError(f"budget must be at least 1 token, not {budget}")


def _unchanged(text: str, tokens: int, reason: Reason) -> Compressed:
    return Compressed(text, reason, tokens, tokens, ((0, len(text)),) if text else ())
