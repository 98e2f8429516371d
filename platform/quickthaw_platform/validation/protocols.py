"""Four ways to cut a tokenised text into windows. Numbers of different protocols never compare. Pure.

| protocol   | the text      | windows                                        | published by                    |
|------------|---------------|------------------------------------------------|---------------------------------|
| `hf`       | joined        | overlap; each scores what is new in it         | transformers' documentation     |
| `gptq`     | joined        | disjoint; the last, shorter one is dropped     | GPTQ, AWQ, most of quantisation |
| `lm-eval`  | each document | rolling; every token is scored, the first too  | lm-evaluation-harness           |
| `llamacpp` | the file      | disjoint; the second half of each is scored    | llama.cpp's llama-perplexity    |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quickthaw_platform.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens that the model sees at once; those from place `first` on are scored, each given all before it."""

    tokens: tuple[int, ...]
    first: int  # at least 1: nothing predicts the first token
    counted: int  # as how many tokens the protocol's mean counts the scored ones
    document: int = 0

    @property
    def scored(self) -> int:
        """How many tokens are scored."""
        return len(self.tokens) - self.first


def sliding(tokens: Sequence[int], window: int, stride: int) -> list[Window]:
    """Return windows that begin `stride` tokens apart: the loop in transformers' "Perplexity of fixed-length models".

    That loop counts each window as one token fewer than are new in it, also where all of them are scored. Raises
    InvalidRequest for fewer than two tokens, and where the stride would leave tokens out.
    """
    if not 1 <= stride <= window:
        raise InvalidRequest(f"a stride of {stride} does not suit a window of {window}: 1 to {window}", param="stride")
    _need(tokens, 2, "hf scores what follows the first token")
    found, past = [], 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + window, len(tokens))
        new, seen = end - past, end - begin
        found.append(Window(tuple(tokens[begin:end]), max(1, seen - new), new - 1))
        past = end
        if end == len(tokens):
            break
    return [one for one in found if one.scored]


def disjoint(tokens: Sequence[int], window: int) -> list[Window]:
    """Return windows one behind the other; what is left at the end is dropped (Frantar et al. 2022, GPTQ's code)."""
    _need(tokens, window, f"gptq needs one whole window of {window}; choose a smaller --window, or hf")
    begins = range(0, len(tokens) - window + 1, window)
    return [Window(tuple(tokens[begin : begin + window]), 1, window - 1) for begin in begins]


def second_halves(tokens: Sequence[int], window: int, bos: int | None) -> list[Window]:
    """Return windows one behind the other of which the second half is scored, as llama.cpp's `perplexity` does.

    Where the model wants a beginning token, `bos` takes the place of each window's first token.
    """
    _need(tokens, 2 * window, f"llamacpp needs two windows of {window}; choose a smaller --window, or hf")
    half = window // 2
    found = []
    for begin in range(0, len(tokens) - window + 1, window):
        seen = list(tokens[begin : begin + window])
        if bos is not None:
            seen[0] = bos
        found.append(Window(tuple(seen), half + 1, window - half - 1))
    return found


def rolling(tokens: Sequence[int], window: int, prefix: int, document: int = 0) -> list[Window]:
    """Return windows that score every token of a document once, the first after `prefix`, as lm-eval does.

    A window has `window` tokens before the last one that it scores; the last window reaches back for as many.
    """
    seen = [prefix, *tokens]
    found = []
    for begin in range(1, len(seen), window):
        end = min(begin + window, len(seen))
        start = max(0, end - 1 - window)
        found.append(Window(tuple(seen[start:end]), begin - start, end - begin, document))
    return found


def _need(tokens: Sequence[int], least: int, why: str) -> None:
    if len(tokens) < least:
        raise InvalidRequest(f"the text has {len(tokens):,} token{'s'[: len(tokens) != 1]}: {why}", param="text")
