"""The tokens that a model reads, of what a handler gives it."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Sampling
from quickthaw_platform.contracts import Tokenizer


def prompt_tokens(tokenizer: Tokenizer, prompt: str | Sequence[int], suffix: str | None) -> list[int]:
    """Return the tokens of a prompt that is to be continued, or to be filled in up to `suffix`."""
    if suffix is None:
        return tokens_of(tokenizer, prompt, "prompt")
    if not isinstance(prompt, str):
        raise InvalidRequest("a suffix needs a prompt that is a text, not token ids", param="suffix")
    return tokenizer.infill(prompt, suffix)


def batch_tokens(
    tokenizer: Tokenizer, texts: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
) -> list[list[int]]:
    """Return the tokens of each text or sequence of token ids; one alone is a batch of one."""
    single = isinstance(texts, str) or (bool(texts) and all(isinstance(item, int) for item in texts))
    batch = [texts] if single else texts
    if isinstance(batch, str) or not isinstance(batch, Sequence):
        raise InvalidRequest("input must be texts, or sequences of token ids", param="input")
    return [tokens_of(tokenizer, item, "input") for item in batch]  # type: ignore[arg-type]  # checked there


def tokens_of(tokenizer: Tokenizer, text: str | Sequence[int], param: str) -> list[int]:
    """Return the tokens of a text; token ids are what they are. Raises InvalidRequest, naming `param`, for others."""
    if isinstance(text, str):
        return tokenizer.encode(text)
    if not isinstance(text, list | tuple) or not text or not all(map(_is_token, text)):
        raise InvalidRequest(f"{param} must be a text, or at least one token id (whole, from 0)", param=param)
    return list(text)


def truncated(tokens: Sequence[int], sampling: Sampling, context_tokens: int) -> Sequence[int]:
    """Return the last tokens of a prompt that `truncate_prompt_tokens` lets be read; -1: what leaves room to answer.

    An answer has room for `max_tokens`, or for one token where no number is given.
    """
    wanted = sampling.truncate_prompt_tokens
    if wanted is None:
        return tokens
    if wanted == 0:
        raise InvalidRequest("an answer needs at least one token of the prompt", param="truncate_prompt_tokens")
    room = wanted if wanted > 0 else context_tokens - (1 if sampling.max_tokens is None else sampling.max_tokens)
    return tokens[-room:] if room > 0 else tokens  # no room at all: the engine says so


def _is_token(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and item >= 0
