"""Words that are known beforehand: of numbers, units, types and negations, and the commonest of English."""

from __future__ import annotations

import tomllib
from importlib.resources import files

_LISTS: dict[str, str] = tomllib.loads(files(__package__).joinpath("lexicon.toml").read_text(encoding="utf-8"))


def _words(name: str) -> frozenset[str]:
    return frozenset(_LISTS[name].split())


COMMON = _words("common")
NUMBERS = _words("numbers")
UNITS = _words("units")
TYPES = _words("types")
NEGATIONS = _words("negations")
NEGATION_PARTS = ("ません", "なかっ", "ない", "ไม่", *"不没沒无無非未别別勿莫않못안")

_ZIPF_OFFSET, _ZIPF_TOTAL = 2.7, 10.0
_SHARES = {word: 1 / ((rank + _ZIPF_OFFSET) * _ZIPF_TOTAL) for rank, word in enumerate(_LISTS["common"].split())}
_RARE = 2e-5


def share_of(word: str) -> float:
    """Return how large a share of English text a word in lower case is thought to be; the longer, the rarer."""
    return _SHARES.get(word) or _RARE * 2.0 ** (4 - min(len(word), 12))
