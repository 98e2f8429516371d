"""Prompts of so many tokens, made from a text; the client has no tokenizer, so it is calibrated by two probes. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.words import random_text

HEAD_DIGITS = 8
PROBE_CHARACTERS = (400, 4000)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How an endpoint counts: tokens = `overhead` + characters / `characters_per_token`.

    The defaults are usual for English text and a tokenizer of 50,000 tokens and more, with a short chat template.
    """

    overhead: float = 10.0
    characters_per_token: float = 4.7
    measured: bool = False

    @classmethod
    def of(cls, probes: Sequence[tuple[int, int]]) -> Calibration:
        """Draw the line through two probes: characters sent, tokens that the server counted."""
        (few, fewer_tokens), (many, more_tokens) = probes
        if more_tokens <= fewer_tokens:
            raise SettingsInvalid(
                f"the endpoint counted {fewer_tokens} tokens in a prompt of {few} characters and {more_tokens} in one "
                f"of {many}; its `usage.prompt_tokens` is of no use. Do without (--no-probe)"
            )
        per_token = (many - few) / (more_tokens - fewer_tokens)
        return cls(max(0.0, fewer_tokens - few / per_token), per_token, measured=True)

    def characters(self, tokens: float) -> int:
        """Return how long a text of so many tokens is, the overhead taken off; 0 where that alone is more."""
        return max(0, round((tokens - self.overhead) * self.characters_per_token))


@dataclass(frozen=True, slots=True)
class Prompts:
    """Makes the prompt of each request, the same one each time it is asked.

    Each begins with digits of its own, so that no two share a prefix that a server could keep; with `shared_prefix`
    all begin with the same text of about so many tokens instead, and the digits come behind it. `salt` makes others
    of the same seed, for a server that has seen those.
    """

    corpus: str = field(default_factory=random_text, repr=False)
    seed: int = 0
    shared_prefix: int = 0  # tokens
    calibration: Calibration = Calibration()
    salt: str = ""

    def text(self, number: int, tokens: int) -> str:
        """Return a prompt of about so many tokens, and never less than its digits."""
        wanted = self.calibration.characters(tokens)
        shared = min(wanted, round(self.shared_prefix * self.calibration.characters_per_token))
        digest = hashlib.sha256(f"{self.salt}:{self.seed}:{number}".encode()).digest()
        head = digest.hex()[:HEAD_DIGITS] + " "
        prefix = f"{self._slice(0, shared)} " if shared else ""
        left = wanted - len(prefix) - len(head)
        body = self._slice(int.from_bytes(digest[8:16]) % len(self.corpus), left) if left > 0 else ""
        return (prefix + head + body).rstrip()

    def probe(self, characters: int) -> str:
        """Return a text of exactly so many characters, as prompts are made of."""
        return self._slice(0, characters)

    def _slice(self, begin: int, length: int) -> str:
        """Return a part of the text that begins with a word, if it can; behind the end it goes on at the beginning."""
        begin = max(0, self.corpus.find(" ", begin) + 1)
        found = self.corpus[begin : begin + length]
        while len(found) < length:
            found += (" " + self.corpus)[: length - len(found)]
        return found


def read_corpus(path: Path) -> str:
    """Read a text to make prompts of; SettingsInvalid where there is none in the file."""
    try:
        text = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
    except OSError as error:
        raise SettingsInvalid(f"the corpus {path} cannot be read: {error}") from error
    if not text:
        raise SettingsInvalid(f"the corpus {path} holds no text")
    return text
