"""Several texts are shortened to one aim, by the frequency of their words. Pure; takes time in proportion to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from quickthaw.compression import FrequencyScorer, Reason, about_tokens, compress
from quickthaw.compression.segments import segments
from quickthaw.compression.spans import protected
from quickthaw.compression.verifier import fault


class Shortened(NamedTuple):
    """What became of a text; `reason`: a value of compression.Reason, or what the gateway has to say instead."""

    text: str
    reason: str


def shorten(
    texts: Sequence[tuple[str, str | None]], ratio: float | None, budgets: Sequence[int] | None
) -> list[Shortened]:
    """Shorten each text, given with the part that stays (None: it is looked for), to the ratio or to its budget."""
    aims: Sequence[int | None] = [None] * len(texts) if budgets is None else budgets
    return [_shortened(text, question, ratio, aim) for (text, question), aim in zip(texts, aims, strict=True)]


def verified(texts: Sequence[tuple[str, str | None]], shorter: Sequence[str]) -> list[Shortened]:
    """Return the texts that something else has shortened; the original, with the reason, where one breaks the rules."""
    return [_verified(text, question, other) for (text, question), other in zip(texts, shorter, strict=True)]


def shares(counts: Sequence[int], budget: int) -> list[int]:
    """Divide a budget of tokens over texts in proportion to what they have: at least one token each."""
    total = sum(counts)
    return [max(1, budget * count // total) if total else 1 for count in counts]


def summed_up(reasons: Sequence[str]) -> str:
    """Return one reason for all texts of a prompt: those that were short anyway have no say where others were not."""
    told = set(reasons) - {Reason.SHORT} or {Reason.SHORT}
    if len(told) == 1:
        return str(next(iter(told)))
    shorter = told & {Reason.COMPRESSED, Reason.PARTLY}
    return str(Reason.PARTLY if shorter else min(told))


def _verified(text: str, question: str | None, shorter: str) -> Shortened:
    if shorter == text:
        return Shortened(text, Reason.PROTECTED)
    wrong = fault(text, shorter, protected(text, segments(text), question))
    return Shortened(shorter, Reason.COMPRESSED) if wrong is None else Shortened(text, str(wrong))


def _shortened(text: str, question: str | None, ratio: float | None, budget: int | None) -> Shortened:
    found = compress(
        text,
        count_tokens=about_tokens,
        scorer=FrequencyScorer(),
        ratio=ratio if budget is None else None,
        budget=budget,
        question=question,
    )
    return Shortened(found.text, str(found.reason))
