"""What most prompts of a version begin with, learnt from the prompts. Pure."""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Sequence

KEPT_PROMPTS = 64
LEAST_PROMPTS = 8
"""Nothing is learnt from fewer; and it is learnt anew whenever so many have come."""

LEAST_TOKENS = 32
"""A shorter beginning is computed in no time."""

MOST_TOKENS = 4096
"""Of a prompt so much is looked at."""

LIKENESS = 0.8
"""A beginning that shares so much with the one found before is no news."""

TOKEN_BYTES = 4
"""Of a token in a sample: big-endian, so that samples sort as their tokens do."""


def sample_of(tokens: Sequence[int]) -> bytes:
    """Return a prompt's first tokens as `PrefixLearner.add` takes them."""
    words = array("I", tokens[:MOST_TOKENS])
    if sys.byteorder == "little":
        words.byteswap()
    return words.tobytes()


def tokens_of(sample: bytes) -> tuple[int, ...]:
    """Return the tokens of a sample."""
    words = array("I", sample)
    if sys.byteorder == "little":
        words.byteswap()
    return tuple(words)


class PrefixLearner:
    """Looks at the last `KEPT_PROMPTS` prompts for the longest beginning that at least half of them share."""

    def __init__(self) -> None:
        self._samples: deque[bytes] = deque(maxlen=KEPT_PROMPTS)
        self._new = 0
        self.tokens: tuple[int, ...] = ()  # the beginning as it was last found; none: not yet

    def add(self, sample: bytes) -> bool:
        """Take a prompt in; True: `tokens` have changed for others that are not much like them."""
        self._samples.append(sample)
        self._new += 1
        if self._new < LEAST_PROMPTS:
            return False
        self._new = 0
        found = tokens_of(most_shared(sorted(self._samples)))
        if len(found) < LEAST_TOKENS or is_like(found, self.tokens):
            return False
        self.tokens = found
        return True


def most_shared(ordered: Sequence[bytes]) -> bytes:
    """Return the longest whole-token beginning that at least half of the samples, which are sorted, share.

    Those that share a beginning stand beside each other, so the first and the last of each run of that many tell.
    """
    half = (len(ordered) + 1) // 2
    runs = zip(ordered, ordered[half - 1 :], strict=False)
    return max((_shared(first, last) for first, last in runs), key=len, default=b"")


def is_like(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two beginnings share `LIKENESS` of the longer one."""
    longer = max(len(a), len(b))
    return bool(longer) and _shared_length(a, b) >= LIKENESS * longer


def _shared(first: bytes, second: bytes) -> bytes:
    """Return the whole tokens that both begin with."""
    length = _shared_length(first, second)
    return first[: length - length % TOKEN_BYTES]


def _shared_length(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many elements both begin with, by halving: slices compare fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
