"""Text of others on a terminal: what would steer the terminal is shown instead. Pure but for a look at the stream.

A model, a function and a caller choose what logs, tables and answers hold. Control characters could set the window's
title, fill the clipboard, or write over what stands above; those that turn the direction of writing show another text
than what is there.
"""

from __future__ import annotations

from typing import TextIO

_TURNING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SHOWN = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"},
    **{code: f"\\u{code:04x}" for code in _TURNING},
}


def visible(text: str) -> str:
    """Return the text with its control characters written as escapes; line ends and tabs stay."""
    return text.translate(_SHOWN)


def for_stream(text: str, stream: TextIO) -> str:
    """Return what may be written to a stream: into a file or a pipe text goes as it is."""
    return visible(text) if stream.isatty() else text
