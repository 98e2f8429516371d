"""Words that are known beforehand: those of type names, numbers, units and negations, and the commonest of English."""

from __future__ import annotations

# The commonest words of English, the most frequent first. Their shares follow Zipf's law.
COMMON = tuple(
    """the of and to in a is that for it as was with be by on are this at from or an which have had has were but they
    you his he her she their we i its will would there can all been one if more when who so about up out them then some
    into than other could time my do only also new these two may first any such like what over me our just even after
    most made being where much your before through should each now how very well him those between because while too
    must same did under last many get both during since us am let here per around another down off again per upon
    still however within among though although yet own every around along therefore thus hence does done go goes went
    gone come comes came get gets got take takes took make makes see seen say says said use used using give given
    find found need needs want wants know known become became way ways thing things lot kind part number day days
    people called based several various often usually always generally particularly especially actually really
    quite rather almost already soon later once ever away back together instead whether whose whom why yes please
    following above below right left next previous different important large small good great little long high old
    few likely possible able main general certain common""".split()
)

_ZIPF_TOTAL = 10.0
_SHARES = {word: 1 / ((rank + 2.7) * _ZIPF_TOTAL) for rank, word in reversed(list(enumerate(COMMON)))}
_RARE = 2e-5


def share_of(word: str) -> float:
    """Return how large a share of English text a lower-case word is thought to be; longer unknown words are rarer."""
    return _SHARES.get(word) or _RARE * 2.0 ** (4 - min(len(word), 12))
