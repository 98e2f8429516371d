"""Prompts of different lengths, no two alike, so that no cache and no padding flatters anyone. Pure."""

from __future__ import annotations

import random

from benchmarks.assets import question

_QUESTIONS = (
    "What is the capital of {}?",
    "Name three rivers of {} and say where each of them ends.",
    "How did people in {} travel a hundred years ago?",
    "Write a short letter to a friend who is about to visit {} for the first time, and tell her what to pack.",
    "Which languages are spoken in {}?",
    "Explain to a child of eight why it rains more in the mountains of {} than on its plains, in plain words.",
    "What do people eat for breakfast in {}?",
    "Describe a walk through the oldest town of {} on an early morning in winter, with its sounds and its smells.",
)
_PLACES = ("France", "Japan", "Peru", "Kenya", "Norway", "India", "Chile", "Greece", "Canada", "Turkey", "Ghana")


def conversation(number: int) -> list[dict[str, str]]:
    """Return conversation `number`; the first 88 differ."""
    return question(_QUESTIONS[number % len(_QUESTIONS)].format(_PLACES[number % len(_PLACES)]))


def conversations(first: int, count: int) -> list[list[dict[str, str]]]:
    """Return `count` conversations from number `first` on."""
    return [conversation(number) for number in range(first, first + count)]


_WORDS = (
    "time year people way day man thing woman life child world school state family student group country problem "
    "hand part place case week company system program question work government number night point home water room "
    "mother area money story fact month lot right study book eye job word business issue side kind head house "
    "service friend father power hour game line end member law car city community name president team minute idea "
    "kid body information back parent face others level office door health person art war history party result "
    "change morning reason research girl guy moment air teacher force education"
)
"""Each is one token of the measured model, with a space before it and without."""

_TASK = "Tell me a long story."
FRAME_TOKENS = 20
"""What the model's chat template makes of a conversation with an empty system message that asks `_TASK`."""

PLAIN_FRAME_TOKENS = 30
"""What the chat template makes of an empty question without a system message: the template has one of its own."""


def words(count: int, seed: int) -> str:
    """Return a text of `count` tokens of the measured model, another one for each seed."""
    return " ".join(random.Random(seed).choices(_WORDS.split(), k=count))


def sized(tokens: int, seed: int) -> list[dict[str, str]]:
    """Return a conversation of exactly `tokens` tokens of the measured model whose beginning no other seed's shares."""
    if tokens <= FRAME_TOKENS:
        raise ValueError(f"a conversation has more than {FRAME_TOKENS} tokens, not {tokens}")
    return [{"role": "system", "content": words(tokens - FRAME_TOKENS, seed)}, *question(_TASK)]


def plain(tokens: int, seed: int) -> list[dict[str, str]]:
    """Return a question of exactly `tokens` tokens without a system message, in words of its own for each seed."""
    if tokens <= PLAIN_FRAME_TOKENS:
        raise ValueError(f"a plain question has more than {PLAIN_FRAME_TOKENS} tokens, not {tokens}")
    return question(words(tokens - PLAIN_FRAME_TOKENS, seed))
