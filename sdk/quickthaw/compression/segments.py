"""A text as sentences, phrases and words. One pass, any script.

A word is what stands between white space, with its punctuation; in scripts without spaces it is what stands between
punctuation, since no dictionary is at hand. So a word never begins or ends within a character that is made of several
code points (an emoji, a letter with its marks). A line's end ends a sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Range = tuple[int, int]

_WIDE = "。、，！？；：｡､"
_WORD = re.compile(rf"[^\s{_WIDE}]+[{_WIDE}]*|[{_WIDE}]+")
_CLOSERS = "\"'”’»)]}*_"
_SENTENCE_ENDS = frozenset(".!?…。！？｡؟۔।॥։።፧\u037e")
_PHRASE_ENDS = frozenset(",;:、，；：､،؛—–")
_ABBREVIATIONS = frozenset(
    (
        "mr.",
        "mrs.",
        "ms.",
        "dr.",
        "st.",
        "prof.",
        "e.g.",
        "i.e.",
        "etc.",
        "vs.",
        "cf.",
        "no.",
        "fig.",
        "al.",
        "jr.",
        "sr.",
    )
)


@dataclass(frozen=True, slots=True)
class Segments:
    """Where words are, in characters; where sentences and phrases are, in words. All as (start, end)."""

    words: list[Range]
    sentences: list[Range]
    phrases: list[Range]


def words_of(text: str) -> list[str]:
    """Return the words of a text."""
    return _WORD.findall(text)


def segments(text: str) -> Segments:
    """Divide a text."""
    words = [match.span() for match in _WORD.finditer(text)]
    sentences: list[Range] = []
    phrases: list[Range] = []
    sentence = phrase = 0
    for index, (start, end) in enumerate(words, 1):
        if text[end - 1].isalnum() and text[end : end + 1] == " " and index < len(words) and words[index][0] == end + 1:
            continue  # the usual case, and quick
        following = words[index][0] if index < len(words) else len(text)
        ends_sentence = _ends_sentence(text[start:end]) or "\n" in text[end:following] or index == len(words)
        if ends_sentence or text[end - 1] in _PHRASE_ENDS:
            phrases.append((phrase, index))
            phrase = index
        if ends_sentence:
            sentences.append((sentence, index))
            sentence = index
    return Segments(words, sentences, phrases)


def _ends_sentence(word: str) -> bool:
    if word[-1].isalnum():
        return False
    bare = word.rstrip(_CLOSERS)
    if not bare or bare[-1] not in _SENTENCE_ENDS:
        return False
    is_initial = len(bare) == 2 and bare[0].isalpha()
    return bare[-1] != "." or not (is_initial or bare.lower() in _ABBREVIATIONS)
