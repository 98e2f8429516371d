"""Completion requests that ask for the best of several answers; no Redis, no HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.generation import TokenLogprob
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.openai.answer import Answer
from quickthaw_platform.gateway.openai.best import best
from quickthaw_platform.gateway.openai.mapping import chosen_from, completion_calls
from quickthaw_platform.gateway.openai.schema import CompletionRequest


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "chat", "prompt": "hi", **fields})


def test_the_best_of_several_are_sampled_with_their_likelihood() -> None:
    (made,) = completion_calls(completion(best_of=3, n=2), None)
    assert (made.sampling["n"], made.sampling["logprobs"]) == (3, 0)
    assert chosen_from(completion(best_of=2, n=2)) is None
    assert chosen_from(completion()) is None


@pytest.mark.parametrize("fields", [{"best_of": 1, "n": 2}, {"best_of": 2, "stream": True}])
def test_best_of_fewer_than_asked_or_in_a_stream_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        completion_calls(completion(**fields), None)
    assert refused.value.param == "best_of"


def test_the_answers_with_the_highest_mean_likelihood_are_kept_of_each_prompt() -> None:
    def answer(text: str, *values: float) -> Answer:
        return Answer(text, logprobs=[TokenLogprob(1, text, value) for value in values])

    answers = [answer("a", -1.0, -1.0), answer("b", -1.5), answer("c", -2.0), answer("d", -0.1)]
    assert [found.text for found in best(answers, 2, 1, keep_logprobs=True)] == ["a", "d"]
    assert best(answers, 4, 2, keep_logprobs=False)[0].logprobs == []
