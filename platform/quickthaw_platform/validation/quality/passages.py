"""Paragraphs split into the beginning that a model is shown and the continuation that it is measured against (pure)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.validation.corpus import Corpus

PROMPT_WORDS = 32
REFERENCE_WORDS = 32

_BLANK_LINES = re.compile(r"\n\s*\n")
_HEADING = re.compile(r"=.*=")


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph's beginning and what follows it, both with single blanks between words."""

    prompt: str
    reference: str


@dataclass(frozen=True, slots=True)
class Split:
    """How paragraphs become passages: `prompt` words are shown, the `reference` words behind them are compared."""

    prompt: int = PROMPT_WORDS
    reference: int = REFERENCE_WORDS

    def __post_init__(self) -> None:
        for name, words in (("prompt-words", self.prompt), ("reference-words", self.reference)):
            if words < 1:
                raise InvalidRequest(f"--{name} {words}: at least one word is needed", param=name)

    def passages(self, corpus: Corpus) -> list[Passage]:
        """Return the passages of all paragraphs that are long enough, in the text's order.

        WikiText is detokenised first and its headings are left out. InvalidRequest where no paragraph is long enough.
        """
        found = [passage for paragraph in paragraphs(corpus) if (passage := self._passage(paragraph)) is not None]
        if not found:
            least = self.prompt + self.reference
            raise InvalidRequest(
                f"no paragraph of {corpus.name} has {least} words, {self.prompt} to show and {self.reference} to "
                "compare with; give a longer text, or fewer --prompt-words and --reference-words",
                param="text",
            )
        return found

    def _passage(self, paragraph: str) -> Passage | None:
        words = paragraph.split()
        end = self.prompt + self.reference
        if len(words) < end:
            return None
        return Passage(" ".join(words[: self.prompt]), " ".join(words[self.prompt : end]))


def paragraphs(corpus: Corpus) -> Iterator[str]:
    """Yield a text's paragraphs: WikiText's are lines, other texts have blank lines between them."""
    wiki = corpus.form in ("wikitext", "wikitext-pages")
    for _, document in corpus.pages():
        pieces = document.split("\n") if wiki else _BLANK_LINES.split(document)
        for piece in map(str.strip, pieces):
            if piece and not (wiki and _HEADING.fullmatch(piece)):
                yield piece


def sample(passages: list[Passage], count: int, seed: int) -> list[Passage]:
    """Return `count` passages drawn without replacement, in their order; all where there are no more, or for 0."""
    if count == 0 or count >= len(passages):
        return passages
    return [passages[place] for place in sorted(random.Random(seed).sample(range(len(passages)), count))]


def cut(text: str, words: int) -> str:
    """Return a text's first words: an answer is compared at the length of its reference."""
    return " ".join(text.split()[:words])
