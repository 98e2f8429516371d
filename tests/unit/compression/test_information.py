"""What a model says of each word, and the ready-made function that asks one."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from quickthaw import Answer, Delta, TokenLogprob, loading
from quickthaw.compression import InformationScorer, Reason, TokenScores, compress
from quickthaw.compression.segments import segments

TEXT = "The red house and the blue house and the old tower stand there."
FUNCTION = Path(__file__).parents[3] / "functions" / "compress" / "function.py"


def tokens(text: str) -> list[tuple[str, float | None]]:
    """Tokens as models have them, with their space before them; a longer one says more, "blue" most."""
    pieces = re.findall(r"\s?\S+|\s+", text)
    scores = [-100.0 if piece.strip() == "blue" else -float(len(piece)) for piece in pieces]
    return [(piece, score if index else None) for index, (piece, score) in enumerate(zip(pieces, scores, strict=True))]


def scores(text: str, **windows: int) -> dict[str, float]:
    words = segments(text).words
    found = InformationScorer(tokens, **windows).scores(text, words)
    return {text[start:end]: score for (start, end), score in zip(words, found, strict=True)}


def test_a_words_score_is_that_of_its_token() -> None:
    found = scores(TEXT)
    assert found["The"] == 0  # nothing predicts the first
    assert found["tower"] == pytest.approx(6 * 5 / 6)  # without the space, which is a part of the token
    assert max(found, key=found.__getitem__) == "blue"


def test_a_long_text_is_read_in_windows_that_fit_and_have_a_context() -> None:
    asked: list[str] = []

    def ask(window: str) -> TokenScores:
        asked.append(window)
        return tokens(window)

    text = TEXT + " " + TEXT.replace("T", "É")
    words = segments(text).words
    found = InformationScorer(ask, window_bytes=40, context_bytes=10).scores(text, words)
    assert len(asked) > 3
    assert all(len(window.encode()) <= 40 for window in asked)
    assert all(len(set(asked[index]) & set(asked[index + 1])) for index in range(len(asked) - 1))
    assert found[1:] == pytest.approx(InformationScorer(tokens).scores(text, words)[1:], rel=0.5)


@pytest.mark.parametrize("window_bytes", [1, 3, 4])
def test_a_window_is_never_empty_however_long_a_character_is(window_bytes: int) -> None:
    found = scores("😀 é a", window_bytes=window_bytes, context_bytes=0)
    assert all(math.isfinite(score) for score in found.values())


def test_tokens_that_are_parts_of_characters_are_stretched_over_the_text() -> None:
    def bytewise(text: str) -> TokenScores:
        return [("\N{REPLACEMENT CHARACTER}", -1.0) for _ in text.encode()]

    found = InformationScorer(bytewise).scores("é ü", segments("é ü").words)
    assert sum(found) == pytest.approx(4.0, abs=1.1)


def test_logits_that_are_no_numbers_leave_the_text_as_it_is() -> None:
    scorer = InformationScorer(lambda text: [(text, math.nan)])
    done = compress(TEXT, ratio=0.5, scorer=scorer, count_tokens=lambda text: len(text.split()))
    assert (done.text, done.reason) == (TEXT, Reason.NO_SCORES)


def test_an_empty_answer_counts_as_nothing_known() -> None:
    assert InformationScorer(lambda text: []).scores("a b", [(0, 1), (2, 3)]) == [0.0, 0.0]


class FakeModel:
    def complete(self, prompt: str, suffix: str | None = None, **fields: Any) -> Answer[Any]:
        assert fields == {"echo": True, "logprobs": 0, "max_tokens": 0}
        entries = [TokenLogprob(index, text, score) for index, (text, score) in enumerate(tokens(prompt))]
        return Answer([Delta(prompt, logprobs=tuple(entries), finish_reason="length")])

    def count_tokens(self, text: str) -> int:
        return len(text.split())


@pytest.mark.parametrize(
    ("aim", "most"),
    [({}, 7), ({"ratio": 0.8}, 11), ({"budget": 8}, 8)],
    ids=["half unless told", "ratio", "budget"],
)
def test_the_function_deletes_what_its_model_finds_least_informative(aim: dict[str, float], most: int) -> None:
    (function,) = loading.functions(FUNCTION)
    done: dict[str, Any] = function(FakeModel(), text=TEXT, question="stand there.", **aim)  # type: ignore[assignment]
    assert done["reason"] == "compressed"
    assert done["tokens"] <= most < done["original_tokens"] == 13
    assert "blue" in done["text"]
    assert done["text"].endswith("stand there.")
    kept: Sequence[tuple[int, int]] = done["kept"]
    assert "".join(TEXT[start:end] for start, end in kept) == done["text"]
