"""Text from tokens, one token at a time, never half a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
_CONTEXT_TOKENS = 6
"""Tokens before the answer that are decoded with it: some decoders drop a space at the start of what they are given."""

_LONGEST_HELD_TOKENS = 64
"""Far more than one character takes: a longer run is noise, and holding it would make each token dearer."""


class Detokenizer:
    """Turns a stream of tokens into text; what `push` and `flush` return joins to the text of all tokens.

    A token that ends inside a character, or whose text may still change with the next one, is held back. Only the
    tokens since the last clean break are decoded again, so that the cost of a token does not grow with the answer.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        """`context` are the tokens before the first one pushed; their text is not returned."""
        self._decode = decode
        self._window = list(context[-_CONTEXT_TOKENS:])
        self._shown = len(self._window)  # tokens of the window whose text has been returned
        self._shown_text = decode(self._window).removesuffix(_INCOMPLETE) if self._window else ""

    def push(self, token: int) -> str:
        """Take one token; return the text that is now certain, possibly none."""
        self._window.append(token)
        text = self._decode(self._window)
        unclear = text.endswith(_INCOMPLETE) or len(text) <= len(self._shown_text)
        return "" if unclear and self._held <= _LONGEST_HELD_TOKENS else self._advance(text)

    def flush(self) -> str:
        """Return what is still held back: the answer ends here, so an incomplete character is shown as it decodes."""
        return self._advance(self._decode(self._window)) if self._held else ""

    @property
    def holds_text(self) -> bool:
        """Whether what is held back has a text, such as half a character; that of a hidden token is empty."""
        return self._decode(self._window) != self._shown_text

    @property
    def _held(self) -> int:
        return len(self._window) - self._shown

    def _advance(self, text: str) -> str:
        new = text[len(self._shown_text) :]
        self._window = self._window[self._shown :]
        self._shown = len(self._window)
        self._shown_text = self._decode(self._window)
        return new
