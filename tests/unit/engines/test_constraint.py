"""Which tokens may come next, beside what the model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Sampling, Structure
from quickthaw_backends.engines.constraint import Constraint, check_constraint
from quickthaw_backends.engines.echo_tokenizer import END, VOCABULARY, EchoTokenizer
from quickthaw_backends.engines.echo_voice import echo_guides
from quickthaw_backends.engines.structure.grammar import structure_grammar

EOS = frozenset({END})
A, B = ord("a"), ord("b")


def constraint(regex: str | None = None, told: Sequence[int] = (), **fields: Any) -> Constraint:
    """Return one whose grammar, where it has one, has had the tokens `told`."""
    guide = None
    if regex is not None:
        guide = echo_guides(EchoTokenizer()).guide(structure_grammar(Structure(regex=regex)))
    made = Constraint(Sampling(**fields), EOS, guide)
    for token in told:
        made.advance(token)
    return made


def allowed(made: Constraint, count: int = 0) -> set[int] | None:
    mask = made.allowed(count, VOCABULARY)
    return None if mask is None else set(np.flatnonzero(mask).tolist())


def test_without_any_wish_everything_may_come_and_scores_stay_as_they_are() -> None:
    made, scores = constraint(), np.ones(VOCABULARY, dtype=np.float32)
    assert allowed(made) is None
    assert made.apply(scores, 0) is scores
    assert not made.narrows


def test_before_the_least_length_nothing_that_ends_may_come() -> None:
    made = constraint(min_tokens=2, stop_token_ids=(A,))
    assert allowed(made, 0) == allowed(made, 1) == set(range(VOCABULARY)) - {A, END}
    assert allowed(made, 2) is None
    assert [made.ends_with(END, count) for count in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize(
    ("told", "fields", "may_follow"),
    [
        (b"", {}, {A}),  # not complete
        (b"aa", {}, {A, END}),  # complete, and may go on
        (b"aa", {"min_tokens": 5}, {A}),  # it is too early
        (b"aa", {"ignore_eos": True}, {A}),  # it goes on as far as it can
        (b"aaa", {}, {END}),  # nothing else is left
        (b"aaa", {"min_tokens": 5}, {END}),  # so it ends all the same
        (b"aaa", {"ignore_eos": True}, {END}),
        (b"aa", {"stop_token_ids": (B,)}, {A, B, END}),  # where the model may end it, a stop token may too
        (b"a", {"stop_token_ids": (B,)}, {A}),
    ],
)
def test_a_grammar_and_the_ends_of_an_answer_are_one(told: bytes, fields: dict[str, Any], may_follow: set[int]) -> None:
    assert allowed(constraint("a{2,3}", told, **fields), len(told)) == may_follow


def test_biases_are_added_and_what_may_not_come_has_no_chance() -> None:
    scores = np.zeros(VOCABULARY, dtype=np.float32)
    found = constraint("[ab]", logit_bias={B: 3.5, ord("z"): 100.0}).apply(scores, 0)
    assert (found[A], found[B]) == (0, 3.5)
    assert np.isneginf(np.delete(found, [A, B])).all()
    assert not scores.any()  # those of others are not touched


@pytest.mark.parametrize("field", ["logit_bias", "stop_token_ids"])
def test_a_token_that_the_vocabulary_lacks_is_refused_by_the_field(field: str) -> None:
    fields: dict[str, Any] = {field: {VOCABULARY: 1.0} if field == "logit_bias" else [VOCABULARY]}
    with pytest.raises(InvalidRequest, match=str(VOCABULARY)) as refused:
        check_constraint(Sampling.model_validate(fields), VOCABULARY)
    assert refused.value.param == field
