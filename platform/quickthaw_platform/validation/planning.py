"""What is to be scored: a text, cut into windows of tokens by a protocol. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.validation import protocols
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.protocols import Window
from quickthaw_platform.validation.result import ProtocolName
from quickthaw_platform.validation.tokenizers import TextTokenizer

USUAL_WINDOWS: dict[ProtocolName, int] = {"hf": 1024, "gptq": 2048, "lm-eval": 2048, "llamacpp": 512}
USUAL_STRIDE = 512


@dataclass(frozen=True, slots=True)
class Document:
    """A document's length, as words between blanks and as bytes of UTF-8, before it was detokenised."""

    words: int
    bytes: int

    @classmethod
    def of(cls, text: str) -> Document:
        """Measure a document; lm-eval counts words so, an empty one at either end included."""
        return cls(len(re.split(r"\s+", text)), len(text.encode()))


@dataclass(frozen=True)
class Plan:
    """Windows to be scored in any order, and what must be said of them."""

    protocol: ProtocolName
    windows: tuple[Window, ...]
    documents: tuple[Document, ...]  # those that are scored
    window: int
    stride: int | None
    limit: int | None
    bos: str  # where the token that begins a text was put
    whole: bool  # whether every token of the documents is scored, but for one that nothing predicts

    @property
    def by_document(self) -> bool:
        """Whether documents, each scored by itself, are what an interval draws from."""
        return self.protocol == "lm-eval" and len(self.documents) > 1

    @property
    def tokens(self) -> int:
        """How many tokens the model reads."""
        return sum(len(window.tokens) for window in self.windows)

    @cached_property
    def digest(self) -> str:
        """What tells this plan from any other."""
        told = hashlib.sha256(f"{self.protocol} {self.window} {self.stride} {self.limit}".encode())
        for window in self.windows:
            told.update(repr((window.first, window.counted, window.tokens)).encode())
        return told.hexdigest()


def usual_window(protocol: ProtocolName, context_tokens: int) -> int:
    """Return the window that the protocol's published numbers have, or what the model's context has room for."""
    return min(USUAL_WINDOWS[protocol], most_window(protocol, context_tokens))


def most_window(protocol: ProtocolName, context_tokens: int) -> int:
    """Return the longest window that a context has room for: lm-eval's predict one more token than they see."""
    return context_tokens - 1 if protocol == "lm-eval" else context_tokens


def make_plan(
    corpus: Corpus,
    tokenizer: TextTokenizer,
    protocol: ProtocolName,
    *,
    window: int,
    stride: int | None = None,
    limit: int | None = None,
) -> Plan:
    """Tokenise a text and cut it as the protocol does.

    `limit`: only so many windows, or documents for lm-eval. Raises InvalidRequest, saying what to change, for a text
    that is too short, a window below 2, and a stride where the protocol has none.
    """
    if window < 2:
        raise InvalidRequest(f"a window of {window} predicts nothing; it has at least 2 tokens", param="window")
    if stride is not None and protocol != "hf":
        raise InvalidRequest(f"{protocol} has no stride; it is for hf", param="stride")
    if protocol == "lm-eval":
        return _by_pages(corpus, tokenizer, window, limit)
    return _joined(corpus, tokenizer, protocol, window, stride or min(USUAL_STRIDE, window), limit)


def _joined(
    corpus: Corpus, tokenizer: TextTokenizer, protocol: ProtocolName, window: int, stride: int, limit: int | None
) -> Plan:
    text = corpus.whole() if protocol == "llamacpp" else corpus.joined()
    tokens = tokenizer.encode(text)
    begun = bool(tokenizer.beginning)
    cut: dict[ProtocolName, Callable[[], list[Window]]] = {
        "hf": lambda: protocols.sliding(tokens, window, stride),
        "gptq": lambda: protocols.disjoint(tokens, window),
        "llamacpp": lambda: protocols.second_halves(tokens, window, tokenizer.beginning[0] if begun else None),
    }
    found = cut[protocol]()
    of_each = protocol == "llamacpp" and begun
    kept = tuple(found[:limit])
    return Plan(
        protocol, kept, (Document.of(text),), window, stride if protocol == "hf" else None,
        limit if len(kept) < len(found) else None,
        bos=("in the place of each window's first token" if of_each else _before(tokenizer)),
        whole=protocol == "hf" and len(kept) == len(found),
    )  # fmt: skip


def _by_pages(corpus: Corpus, tokenizer: TextTokenizer, window: int, limit: int | None) -> Plan:
    pages = corpus.pages()
    windows: list[Window] = []
    prefix = tokenizer.prefix
    for number, (_, text) in enumerate(pages[:limit]):
        windows += protocols.rolling(tokenizer.encode(text), window, prefix, number)
    if not windows:
        raise InvalidRequest("the text has no tokens", param="text")
    scored = ", then the tokenizer's own, which is scored" if tokenizer.beginning else ""
    return Plan(
        "lm-eval", tuple(windows), tuple(Document.of(page) for page, _ in pages[:limit]), window, None,
        limit if limit is not None and limit < len(pages) else None,
        bos=f"{tokenizer.prefix_name} (token {prefix}) before each document{scored}", whole=True,
    )  # fmt: skip


def _before(tokenizer: TextTokenizer) -> str:
    if not tokenizer.beginning:
        return "none: the tokenizer puts none before a text"
    return f"once, before the whole text (token {tokenizer.beginning[0]})"
