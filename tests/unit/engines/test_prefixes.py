from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_backends.engines.batching.prefixes import LEAST_TOKENS, MOST_ENTRIES, PrefixCache, Tokens, common


def numbers(*tokens: int) -> Tokens:
    return np.array(tokens, dtype=np.int32)


def cache(most_tokens: int = 1000) -> tuple[PrefixCache, list[str]]:
    dropped: list[str] = []
    return PrefixCache(dropped.append, most_tokens), dropped


def text(begin: int, count: int = 40) -> list[int]:
    return list(range(begin, begin + count))


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_counts_the_equal_tokens_at_the_beginning(left: list[int], right: list[int]) -> None:
    count = common(numbers(*left), numbers(*right))
    assert left[:count] == right[:count]
    assert count == min(len(left), len(right)) or left[count] != right[count]


def test_the_entry_with_the_longest_common_beginning_is_found() -> None:
    kept, _ = cache()
    kept.keep(text(0, 40), "long")
    kept.keep([*text(0, 20), *text(500, 20)], "other")
    found = kept.find(numbers(*text(0, 30), 7))
    assert found is not None
    assert (found[0].cache, found[1]) == ("long", 30)
    assert kept.find(numbers(*text(0, LEAST_TOKENS - 1))) is None
    assert kept.find(numbers(*text(900))) is None


def test_a_longer_cache_takes_the_place_of_the_one_it_contains() -> None:
    kept, dropped = cache()
    kept.keep(text(0, 20), "short")
    kept.keep(text(0, 30), "longer")
    assert dropped == ["short"]
    assert kept.tokens == 30


def test_what_another_cache_holds_and_what_is_too_short_or_long_is_not_wanted() -> None:
    kept, _ = cache(100)
    kept.keep(text(0, 30), "there")
    assert not kept.wants(text(0, 25))
    assert not kept.wants(text(500, LEAST_TOKENS - 1))
    assert not kept.wants(text(500, 101))
    assert kept.wants(text(0, 31))


def test_what_was_not_used_for_longest_goes_first() -> None:
    kept, dropped = cache(100)
    for place, name in enumerate("ab"):
        kept.keep(text(1000 * place), name)
    assert kept.find(numbers(*text(0))) is not None
    kept.keep(text(5000), "c")
    assert dropped == ["b"]
    assert kept.tokens <= 100


def test_what_is_in_use_stays_and_what_is_pinned_goes_when_nothing_rests_on_it() -> None:
    kept, dropped = cache()
    kept.keep(text(0), "pinned", pinned=True)
    kept.keep(text(1000), "used")
    found = kept.find(numbers(*text(1000)))
    assert found is not None
    found[0].users += 1
    kept.keep(text(2000), "free")
    assert [kept.evict(), kept.evict()] == [True, False]
    found[0].users -= 1
    assert [kept.evict(), kept.evict(), kept.evict()] == [True, True, False]
    assert dropped == ["free", "used", "pinned"]


def test_there_are_at_most_so_many_entries() -> None:
    kept, dropped = cache(100_000)
    for place in range(MOST_ENTRIES + 3):
        kept.keep(text(1000 * place), str(place))
    assert dropped == ["0", "1", "2"]
