"""Prompts of every kind, to a ratio and to a budget."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Sequence

import pytest

from benchmarks.compress.fuzzed import ATOMS, PROSE
from quickthaw.compression import Compressed, FrequencyScorer, Reason, compress

CONTEXT = (
    "The old library of the town was built of red brick, and it has a tall tower. However, most of the people who come "
    "to it do so because of the quiet garden that lies behind it. The garden is open in the summer, as a rule."
)


def count(text: str) -> int:
    return len(text.split())


def made(text: str, ratio: float = 0.5, **options: object) -> Compressed:
    return compress(text, ratio=ratio, scorer=FrequencyScorer(), count_tokens=count, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("ratio", [0.8, 0.5, 0.3])
def test_a_text_reaches_its_ratio_and_uses_most_of_it(ratio: float) -> None:
    done = made(CONTEXT, ratio)
    assert done.reason is Reason.COMPRESSED
    assert 0.7 * ratio <= done.ratio <= ratio + 1 / done.original_tokens


def test_a_text_reaches_its_budget() -> None:
    done = compress(CONTEXT, budget=20, scorer=FrequencyScorer(), count_tokens=count)
    assert done.reason is Reason.COMPRESSED
    assert 15 <= done.tokens <= 20


def test_common_words_go_before_rare_ones() -> None:
    done = made("the committee of the parliament was in the building of the ministry, and so it is. It is so.")
    assert "the" not in done.text.split()
    assert "committee" in done.text


def test_lines_and_their_indentation_stay() -> None:
    done = made("- the red house of the old town\n    - a very nice and quiet garden\n- a big tree. It is old.", 0.6)
    assert done.reason is Reason.COMPRESSED
    assert [line[: len(line) - len(line.lstrip())] for line in done.text.split("\n")] == ["", "    ", ""]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.SHORT),
        (" \n ", Reason.SHORT),
        ("word", Reason.SHORT),  # one token, of which half is one
        ("a = 1\nb = 2\nc = 3", Reason.PROTECTED),
        ("😀😀😀 😀", Reason.PROTECTED),
        (" ".join(["1e-7", "0.10", "NASA", "https://example.org", "null"] * 9), Reason.PROTECTED),
        ("def f(x):\n    return x + 1\n\nprint(f(2))\n", Reason.PROTECTED),
    ],
    ids=["empty", "white space", "one word", "assignments", "emoji", "only protected", "code"],
)
def test_what_cannot_be_shorter_comes_back_as_it_is(text: str, reason: Reason) -> None:
    done = made(text)
    assert done.text == text
    assert done.reason is reason
    assert done.kept == (((0, len(text)),) if text else ())


def test_a_short_prompt_within_its_budget_is_not_even_scored() -> None:
    done = compress("a b c", budget=3, scorer=Broken(math.nan), count_tokens=count)
    assert done.reason is Reason.SHORT


class Broken:
    def __init__(self, score: float) -> None:
        self.score = score

    def scores(self, text: str, words: Sequence[tuple[int, int]]) -> list[float]:
        return [self.score] * len(words)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_no_numbers_change_nothing(score: float) -> None:
    done = compress(CONTEXT, ratio=0.5, scorer=Broken(score), count_tokens=count)
    assert (done.text, done.reason) == (CONTEXT, Reason.NO_SCORES)


def test_words_that_save_no_token_stay() -> None:
    done = compress(CONTEXT, budget=5, scorer=FrequencyScorer(), count_tokens=lambda text: 9)
    assert (done.text, done.reason) == (CONTEXT, Reason.NO_GAIN)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either"),
        ({"ratio": 0.5, "budget": 5}, "either"),
        ({"ratio": 0.0}, "above 0"),
        ({"ratio": 1.5}, "at most 1"),
        ({"ratio": math.nan}, "above 0"),
        ({"budget": 0}, "at least 1"),
    ],
    ids=lambda value: str(value),
)
def test_a_target_that_makes_no_sense_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compress("a b", scorer=FrequencyScorer(), count_tokens=count, **options)  # type: ignore[arg-type]


def test_json_keeps_floats_types_and_keys_and_loses_words_of_long_texts() -> None:
    value = {"a": 1e-7, "type": "float", "none": None, "text": CONTEXT, "list": [0, "", True]}
    text = json.dumps(value).replace("1e-07", "1e-7").replace('"a"', '"b": 0.10, "a"')
    done = made(text + "\nWhat is the type?")
    assert done.reason is Reason.COMPRESSED
    assert '"b": 0.10, "a": 1e-7, "type": "float", "none": null' in done.text
    after = json.loads(done.text.split("\n")[0])
    assert after == {**value, "b": 0.1, "text": after["text"]}
    assert 0 < len(after["text"]) < len(CONTEXT)
    assert done.text.endswith("What is the type?")


def test_numbers_that_stood_apart_are_not_joined() -> None:
    done = made("it took between the 3 and of the 5 of them to do what they have had to do. So it was, they say.", 0.3)
    assert "3 5" not in done.text
    assert {"3", "5"} <= set(done.text.split())


@pytest.mark.parametrize("text", [text for text in PROSE if text.isascii() is False], ids=range(8))
def test_other_scripts_are_cut_between_words_only(text: str) -> None:
    done = made(f"{text} {CONTEXT}")
    assert done.reason in (Reason.COMPRESSED, Reason.PARTLY)
    original = f"{text} {CONTEXT}".split()
    assert all(word in original for word in done.text.split() if word.isascii() or " " in text)


def test_examples_go_whole_the_least_like_the_question_and_farthest_from_it_first() -> None:
    shots = [
        f"Q: How many {thing} has he?\nA: {number}" for number, thing in enumerate(("dogs", "cars", "eggs", "cats"))
    ]
    text = "\n\n".join([*shots, "Q: How many cars and eggs has she?\nA:"])
    done = made(text, 0.65, drop_examples=True)
    assert done.reason is Reason.COMPRESSED
    assert done.text == "\n\n".join([shots[2], shots[3], "Q: How many cars and eggs has she?\nA:"])
    assert "".join(text[start:end] for start, end in done.kept) == done.text


def test_one_example_always_stays_and_then_words_go() -> None:
    shot = f"Q: {CONTEXT} What is it?\nA: a library"
    text = "\n\n".join([shot, shot, shot, "Q: What is this?\nA:"])
    done = made(text, 0.2, drop_examples=True)
    assert done.text.count("A:") == 2
    assert done.tokens < count(f"{shot}\n\nQ: What is this?\nA:")
    assert "".join(text[start:end] for start, end in done.kept) == done.text


def test_a_text_without_examples_is_compressed_as_ever() -> None:
    assert made(CONTEXT, drop_examples=True) == made(CONTEXT)


@pytest.mark.parametrize(
    "piece",
    [
        CONTEXT + "\n",
        "a",
        "{",
        '"\\"',
        "( ",
        "好",
        "don't ",
        "if ? ",
        "1 ",
        "[1,",
        "<a",
        "`a ",
        "A: b\n\n",
        ATOMS[0] + " ",
    ],
    ids=[
        "prose",
        "a",
        "brace",
        "quote",
        "paren",
        "han",
        "negation",
        "question",
        "digit",
        "list",
        "tag",
        "tick",
        "shots",
        "unit",
    ],
)
def test_a_hundred_thousand_characters_take_time_in_proportion(piece: str) -> None:
    """A quadratic step would take minutes at this length; the bound is far above what a busy machine needs."""
    began = time.process_time()
    done = made((piece * (100_000 // len(piece) + 1))[:100_000], drop_examples=True)
    assert time.process_time() - began < 8
    assert done.text


def test_a_million_characters() -> None:
    rng = random.Random(1)
    text = "\n".join(rng.choice(PROSE) + " " + CONTEXT for _ in range(4000))[:1_000_000]
    done = made(text)
    assert len(text) == 1_000_000
    assert done.reason is Reason.COMPRESSED
