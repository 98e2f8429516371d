"""Instructions as sentences, and sentences that are worth a try. Pure."""

from __future__ import annotations

import re

USUAL = (
    "Let's think step by step.",
    "Give only the answer, without an explanation.",
    "Read the question carefully.",
    "Check your answer before you give it.",
    "Answer in the form of the examples.",
    "Be brief.",
    "Break the problem into smaller steps.",
    "Write the final answer last.",
)
"""The first is of Kojima et al. 2022, "Large Language Models are Zero-Shot Reasoners"; the others say plainly what
published optimised prompts often come to."""

_END = re.compile(r"(?<=[.!?])\s+(?=\S)|\n+")


def sentences(instruction: str) -> list[str]:
    """Take an instruction apart, at full stops, exclamation and question marks before blanks, and at line breaks."""
    return [part.strip() for part in _END.split(instruction) if part.strip()]


def joined(parts: list[str]) -> str:
    """Put sentences together."""
    return " ".join(parts)
