"""Which examples of a few-shot prompt stay: as many as the target has room for, and of those the best."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest

from quickthaw.compression import FrequencyScorer, Reason, compress, examples
from quickthaw.compression.examples import ENOUGH, chosen

RNG = random.Random(5)
SIZES = [[RNG.randint(1, 60) for _ in range(RNG.randint(1, 9))] for _ in range(40)]
PLAIN = "the people of the town went to the market and then they came back to their houses in the evening"


def words(text: str) -> int:
    return len(text.split())


def fitting(sizes: Sequence[int], room: int) -> list[tuple[int, ...]]:
    """Return all choices that fit, those with the first place before all others, and so on."""
    some = (itertools.combinations(range(len(sizes)), count) for count in range(len(sizes) + 1))
    found = [choice for choices in some for choice in choices if sum(sizes[place] for place in choice) <= room]
    return sorted(found, key=lambda choice: [place not in choice for place in range(len(sizes))])


@pytest.mark.parametrize("part", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_of_the_choices_that_use_about_all_of_the_room_it_is_the_one_with_the_first(part: float) -> None:
    for sizes in SIZES:
        room = int(part * sum(sizes))
        most = max(sum(sizes[place] for place in choice) for choice in fitting(sizes, room))
        near = [c for c in fitting(sizes, room) if sum(sizes[place] for place in c) >= math.ceil(ENOUGH * most)]
        assert chosen(sizes, room) == list(near[0])


def test_no_room_is_for_none() -> None:
    assert chosen([3, 4], -1) == []


def test_very_many_are_taken_as_they_come_and_still_fill_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [7, 5, 3, 2, 1]
    assert sum(sizes[place] for place in chosen(sizes, 10)) >= ENOUGH * 10
    monkeypatch.setattr(examples, "MOST_STEPS", 1)
    assert chosen(sizes, 10) == [0, 2]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Q: a\nA: b\n\nQ: c\nA: d\n\nQ: e\nA:", ["Q: a\nA: b\n\n", "Q: c\nA: d\n\n"]),
        ("Do it.\n\nQ: a\nA: b\n\nQ: c\nA: d\n\nQ: e\nA:", ["Q: a\nA: b\n\n", "Q: c\nA: d\n\n"]),
        ("Q: a\nA: b\n\nmore\n\nQ: c\nA: d\n\nQ: e\nA:", ["Q: a\nA: b\n\nmore\n\n", "Q: c\nA: d\n\n"]),
        ("Q: a\nA: b\nBut then: d\n\nQ: c\nA: d\n\nQ: e\nA:", ["Q: a\nA: b\nBut then: d\n\n", "Q: c\nA: d\n\n"]),
        ("Q: a\nA: b\n\nNote: this\n\nQ: c\nA: d\n\nQ: e\nA:", None),
        ("Q: a\nA: b\n\nQ: c\nA: d\n\nNow it is your turn.\n\nQ: e\nA:", None),
        ("Q: a\nA: b\n\nQ: c\nA: d\n\nWhat is it?", None),
    ],
    ids=["plain", "behind an instruction", "of two paragraphs", "with another label", "a paragraph of another kind",
         "an instruction before the question", "a question without labels"],
)  # fmt: skip
def test_examples_are_told_from_what_stands_around_them(text: str, found: list[str] | None) -> None:
    there = examples.examples(text)
    assert (there and [text[start:end] for start, end in there[0]]) == found


def prompt(*lengths: int) -> str:
    shots = [f"Q: {' '.join(PLAIN.split()[index % 20] for index in range(length))}?\nA: yes" for length in lengths]
    return "\n\n".join([*shots, "Q: who came back?\nA:"])


@pytest.mark.parametrize("ratio", [0.9, 0.75, 0.5, 0.35, 0.25])
def test_a_prompt_comes_near_its_ratio_from_below(ratio: float) -> None:
    text = prompt(40, 70, 25, 55, 30)
    done = compress(text, ratio=ratio, count_tokens=words, scorer=FrequencyScorer(), drop_examples=True)
    target = math.ceil(ratio * words(text))
    assert done.reason is Reason.COMPRESSED
    assert ENOUGH * target <= done.tokens <= target


def test_words_go_where_a_whole_example_is_too_much() -> None:
    text = prompt(80, 80)
    done = compress(text, ratio=0.8, count_tokens=words, scorer=FrequencyScorer(), drop_examples=True)
    assert done.text.count("A: yes") == 2
    assert ENOUGH * 0.8 * words(text) <= done.tokens <= math.ceil(0.8 * words(text))


def test_the_shortest_example_stays_where_there_is_room_for_none() -> None:
    text = prompt(40, 12, 50)
    done = compress(text, budget=5, count_tokens=words, scorer=FrequencyScorer(), drop_examples=True)
    assert done.text.count("A:") == 2
    assert done.tokens <= words(prompt(12))
