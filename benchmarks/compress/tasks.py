"""Prompts with a known answer: few-shot GSM8K, HumanEval, and a value to be found among many."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.compress.safety import paragraphs, rows

FIRST_SHOT = 1000
"""Row of GSM8K's test set from which on examples are taken: far from the questions."""


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt, and what is to follow it."""

    kind: str
    prompt: str
    answer: str


def tasks(each: int, shots: int) -> Iterator[Task]:
    """Yield `each` tasks of every kind."""
    yield from (gsm8k(index, shots) for index in range(each))
    solutions = rows("HumanEval")[:each]
    yield from (Task("HumanEval", row["prompt"], row["canonical_solution"]) for row in solutions)
    yield from (retrieval(seed) for seed in range(each))


def gsm8k(index: int, shots: int) -> Task:
    """Return a question after examples."""
    found = rows("gsm8k_test")
    pool = found[FIRST_SHOT:]
    examples = [pool[place % len(pool)] for place in range(index * shots, (index + 1) * shots)]
    told = [f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in examples]
    return Task("GSM8K", f"{''.join(told)}Question: {found[index]['question']}\nAnswer:", f" {found[index]['answer']}")


def retrieval(seed: int, pairs: int = 8) -> Task:
    """Return facts between sentences of WikiText, and a question for one of them."""
    rng = random.Random(seed)
    filler = rng.sample([text for text in paragraphs() if len(text) < 500], pairs)
    keys = [f"{rng.choice('BCDFGHKLMNPRST')}{rng.randint(100, 999)}" for _ in range(pairs)]
    values = [str(rng.randint(10_000, 99_999)) for _ in range(pairs)]
    told = [f"{text} The code of {key} is {value}." for text, key, value in zip(filler, keys, values, strict=True)]
    wanted = rng.randrange(pairs)
    question = f"\n\nWhat is the code of {keys[wanted]}? The code of {keys[wanted]} is"
    return Task("key and value", "\n".join(told) + question, f" {values[wanted]}")
