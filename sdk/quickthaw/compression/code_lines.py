"""Lines that read as code, without a fence around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quickthaw.compression.segments import Range

_LINE = re.compile(r"[^\n]*\S[^\n]*")
_BEGINS = re.compile(
    r"""\s*(?:
        (?:async\s+)?def\s+\w+\s*\( | class\s+\w+\s*[:(] | import\s+\w[\w.,\s]*$ | from\s+[\w.]+\s+import\b | @\w+
        | return\b\s*[\w(\[{'"-]*$ | return\s+.*[()\[\]+*/=] | (?:if|elif|while|for|with|except)\b.*:$
        | (?:else|try|finally):$ | (?:pass|break|continue|raise\b.*)$ | \#include\b | (?:const|let|var)\s+\w+\s*=
        | (?:public|private|protected|static)\s+\w+ | function\s+\w+\s*\( | (?:SELECT|INSERT|UPDATE|DELETE|CREATE)\s
        | [$%]\s\w | >>>\s? | \.\.\.\s | [}\])]+[;,]?$ | //
    )""",
    re.VERBOSE,
)
_ENDS = re.compile(r"[;{]\s*$|\w\([^()\s]*\)\s*$")
_ASSIGNS = re.compile(r"\s*[\w.\[\]\"']+(?:\s*:\s*\w+)?\s+(?:=|\+=|-=|:=)\s")
_DOCSTRING_ENDS = ('"""', "'''")


def code_lines(text: str) -> Iterator[Range]:
    """Yield the lines that are code; after a line that begins with `>>>` all to the next blank line, as its output."""
    last = -1
    is_output = False
    for match in _LINE.finditer(text):
        line = match[0]
        bare = line.strip()
        follows = match.start() - last <= 1
        is_output = bare.startswith(">>>") or (is_output and follows and bare not in _DOCSTRING_ENDS)
        if is_output or _BEGINS.match(line) or _ASSIGNS.match(line) or _ENDS.search(line):
            yield match.span()
        last = match.end()
