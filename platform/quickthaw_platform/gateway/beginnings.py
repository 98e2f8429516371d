"""What a call's prompt begins with, as hashes: by them a call finds the instance that has computed its beginning. Pure.

Two calls of a version that begin alike have the hash of that beginning in common, and nobody can read it from the hash.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

from quickthaw_platform.gateway.turns import in_turns
from quickthaw_platform.invocations.records import compact
from quickthaw_platform.invocations.served import MOST_BEGINNINGS as MOST

FIRST_CHARACTERS = 256
FIRST_TOKENS = 64
"""The shortest beginning of a text, and of token ids, that is told apart; each further one is four times as long."""

LEAST_BYTES = 64
"""What is shorter than this, messages as JSON, is not worth looking for: engines share no fewer than 16 tokens."""

Prompt = TypeVar("Prompt", str, list[Any])

_BYTES = 6  # 8 characters in base 64, as the scripts expect; the wrong instance by chance costs only time


def beginnings(version: str, sent: Mapping[str, Any]) -> tuple[str, ...]:
    """Return at most MOST hashes of what a call's input begins with, longest beginning first; none where it is short.

    Of `messages`: the whole conversation; what was there before its last answer, and before the one before that, as
    earlier calls sent it; and its first message. Of `prompt`: its first 256, 1,024, 4,096 and 16,384 characters, or its
    first 64, 256, 1,024 and 4,096 token ids. Other inputs have none.
    """
    messages, prompt = sent.get("messages"), sent.get("prompt")
    if isinstance(messages, list):
        return _hashes(version, map(_line, messages), _turns(messages))
    if isinstance(prompt, str):
        return _hashes(version, map(_bytes, _parts(prompt, FIRST_CHARACTERS)), range(MOST))
    if isinstance(prompt, list):
        return _hashes(version, map(_line, _parts(prompt, FIRST_TOKENS)), range(MOST))
    return ()


def _turns(messages: Sequence[Any]) -> set[int]:
    """Return the places of the last messages of the beginnings that count."""
    answers = (place for place in range(len(messages) - 1, 0, -1) if _answers(messages[place]))
    return {0, len(messages) - 1, *(place - 1 for place in islice(answers, MOST - 2))}


def _answers(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "assistant"


def _hashes(version: str, parts: Iterable[bytes], wanted: Container[int]) -> tuple[str, ...]:
    """Return, longest first, the hash of all parts up to each wanted one, from where they are long enough."""
    state, size, found = blake2b(digest_size=_BYTES, key=version.encode()[: blake2b.MAX_KEY_SIZE]), 0, list[str]()
    for place, part in enumerate(in_turns(parts)):
        state.update(part)
        size += len(part)
        if place in wanted and size >= LEAST_BYTES:
            found.append(urlsafe_b64encode(state.digest()).decode())
    return tuple(reversed(found))


def _parts(prompt: Prompt, first: int) -> Iterator[Prompt]:
    """Yield what is between 0, `first`, 4 · `first`, 16 · `first` … of a prompt, at most MOST parts, each in full."""
    begin, end = 0, first
    for _ in range(MOST):
        if end > len(prompt):
            return
        yield prompt[begin:end]
        begin, end = end, 4 * end


def _line(value: Any) -> bytes:
    return _bytes(compact(value) + "\n")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
