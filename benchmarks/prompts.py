"""Prompts of different lengths, no two alike, so that no cache and no padding flatters anyone. Pure."""

from __future__ import annotations

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
