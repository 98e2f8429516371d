"""The forms in which WikiText-2 is scored: rows as Hugging Face's data set has them, and lm-eval's pages. Pure.

Data: Merity et al. 2016, "Pointer Sentinel Mixture Models". The rows are those of the data set `wikitext`
(wikitext-2-raw-v1), the pages those of `EleutherAI/wikitext_document_level`, the detokeniser is that of lm-eval's task
`wikitext`, version 2.
"""

from __future__ import annotations

import re

_BEFORE_PAGE = re.compile(r"\n(?= = [^=\n]+ = \n)")

_SPACED = (" : ", " ; ", " . ", " ! ", " ? ", " , ")
_BRACKETED = (
    (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
    (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
    (r"{\s*([^}]*?)\s*}", r"{\1}"),
    (r"\"\s*([^\"]*?)\s*\"", r'"\1"'),
    (r"'\s*([^']*?)\s*'", r"'\1'"),
)
_LAST = (
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" ° ", "°"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


def rows(raw: str) -> list[str]:
    """Return the lines, each with its end; one that holds only blanks is empty."""
    return [line if line.strip() else "" for line in re.findall(r"[^\n]*\n|[^\n]+", raw)]


def pages(raw: str) -> list[str]:
    """Return the articles; each begins with its title. What stands before the first title is no page."""
    return [page for page in _BEFORE_PAGE.split(raw) if page.startswith(" = ")]


def detokenised(page: str) -> str:
    """Return the page as people write: without the blanks around punctuation that the data set's tokens leave."""
    text = page.replace("s '", "s'")
    text = re.sub(r"/' [0-9]/", r"/'[0-9]/", text)
    for mark in ("-", ",", "."):
        text = text.replace(f" @{mark}@ ", mark)
    for spaced in _SPACED:
        text = text.replace(spaced, spaced[1:])
    for pattern, plain in _BRACKETED:
        text = re.sub(pattern, plain, text)
    for spaced, plain in _LAST:
        text = text.replace(spaced, plain)
    return text
