"""Paragraphs as prompt and reference, and the floors that need no model."""

from __future__ import annotations

import pytest

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.quality.floors import COPY, RANDOM, UNIGRAMS, floors
from quickthaw_platform.validation.quality.passages import Passage, Split, cut, sample

PASSAGES = [Passage(f"a{i} b{i} c{i}", f"d{i} e{i}") for i in range(5)]


def words(count: int, stem: str = "w") -> str:
    return " ".join(f"{stem}{number}" for number in range(count))


def test_a_paragraph_is_split_behind_its_first_words_and_the_rest_is_left_out() -> None:
    corpus = Corpus("t", "text", (f"{words(6)}\n\n{words(4, 'short')}\n\n  {words(5, 'x')}  ",))
    assert Split(3, 2).passages(corpus) == [Passage("w0 w1 w2", "w3 w4"), Passage("x0 x1 x2", "x3 x4")]


def test_wikitext_is_detokenised_and_its_headings_are_no_paragraphs() -> None:
    raw = " = Title of a page = \n \n He was born in 1 @,@ 999 , and died . \n = = A heading of five words = = \n"
    (passage,) = Split(4, 3).passages(Corpus("wiki.test.raw", "wikitext", (raw,)))
    assert (passage.prompt, passage.reference) == ("He was born in", "1,999, and died.")


@pytest.mark.parametrize(("prompt", "reference"), [(0, 1), (1, 0), (-1, 5)])
def test_a_split_without_words_is_refused(prompt: int, reference: int) -> None:
    with pytest.raises(InvalidRequest, match="at least one word"):
        Split(prompt, reference)


@pytest.mark.parametrize(
    "text", ["one", words(63), "\n\n".join([words(40)] * 3)], ids=["word", "63 words", "short ones"]
)
def test_a_text_that_leaves_no_reference_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"no paragraph of t has 64 words, .*fewer --prompt-words"):
        Split().passages(Corpus("t", "text", (text,)))


def test_the_same_seed_draws_the_same_passages_in_their_order() -> None:
    drawn = sample(PASSAGES, 3, seed=1)
    assert drawn == sample(PASSAGES, 3, seed=1)
    assert drawn == [passage for passage in PASSAGES if passage in drawn]
    assert len({tuple(sample(PASSAGES, 3, seed)) for seed in range(20)}) > 1


@pytest.mark.parametrize("count", [0, 5, 9])
def test_none_is_left_out_where_all_are_wanted(count: int) -> None:
    assert sample(PASSAGES, count, seed=1) == PASSAGES


def test_an_answer_is_cut_to_the_words_of_its_reference() -> None:
    assert cut(" one  two\nthree four", 3) == "one two three"
    assert cut("one", 3) == "one"
    assert cut(" \n", 3) == ""


def test_floors_repeat_the_prompt_take_another_passage_or_draw_words() -> None:
    found = floors(PASSAGES, seed=3)
    assert found[COPY] == [f"b{i} c{i}" for i in range(5)]
    assert sorted(found[RANDOM]) == [f"d{i} e{i}" for i in range(5)]
    assert all(text != passage.reference for text, passage in zip(found[RANDOM], PASSAGES, strict=True))
    known = {word for passage in PASSAGES for word in passage.prompt.split()}
    assert all(len(text.split()) == 2 and set(text.split()) <= known for text in found[UNIGRAMS])
    assert floors(PASSAGES, seed=3) == found


def test_one_passage_has_no_other_to_take_from() -> None:
    assert sorted(floors(PASSAGES[:1], seed=3)) == [COPY, UNIGRAMS]
