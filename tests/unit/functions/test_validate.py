"""The function `validate`: sums of texts by its model's own log-probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quickthaw import Answer, Delta, loading
from quickthaw.generation import TokenLogprob

FILE = Path(__file__).parents[3] / "functions" / "validate" / "function.py"


class Letters:
    """One token a letter, each of which has the log-probability -0.5 but the first."""

    def __init__(self, logprob: float = -0.5) -> None:
        self.logprob = logprob

    def complete(self, prompt: str, **fields: Any) -> Answer[Any]:
        assert fields == {"echo": True, "logprobs": 0, "max_tokens": 0}
        entries = [TokenLogprob(ord(c), c, self.logprob if place else None) for place, c in enumerate(prompt)]
        return Answer([Delta(prompt, logprobs=tuple(entries), finish_reason="length")])


def scores(texts: Any, logprob: float = -0.5) -> Any:
    (function,) = loading.functions(FILE)
    found: Any = function(Letters(logprob), texts=texts)
    return found["scores"]


def test_sums_are_those_of_each_text_in_order() -> None:
    assert scores(["ab c", "é"]) == [
        {"nll": 1.5, "tokens": 3, "words": 2, "bytes": 4},
        {"nll": 0.0, "tokens": 0, "words": 1, "bytes": 2},
    ]


def test_one_text_is_a_list_of_one_and_an_empty_one_asks_the_model_nothing() -> None:
    assert scores("ab") == [{"nll": 0.5, "tokens": 1, "words": 1, "bytes": 2}]
    assert scores([""]) == [{"nll": 0.0, "tokens": 0, "words": 0, "bytes": 0}]


def test_scores_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(ValueError, match="no finite numbers"):
        scores("ab", float("nan"))
