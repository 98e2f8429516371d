from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.checkpoints.tiers.eviction import Cached, Eviction, choose_victims

cached = st.builds(
    Cached,
    id=st.uuids().map(str),
    bytes=st.integers(1, 1000),
    reload_seconds=st.floats(0, 100),
    uses=st.integers(0, 50),
    age_base=st.floats(0, 10),
)


@pytest.mark.parametrize(
    ("goes", "stays"),
    [
        (Cached("a", 10, 1.0, uses=1), Cached("b", 10, 1.0, uses=2)),  # used less often
        (Cached("a", 10, 1.0, uses=1), Cached("b", 10, 2.0, uses=1)),  # sooner back
        (Cached("a", 20, 1.0, uses=1), Cached("b", 10, 1.0, uses=1)),  # larger
        (Cached("a", 10, 1.0, uses=1), Cached("b", 10, 1.0, uses=1, age_base=0.5)),  # used longer ago
        (Cached("a", 10, 1.0), Cached("b", 10, 1.0)),  # alike in all: by name, so that it is the same everywhere
    ],
)
def test_the_cheaper_one_goes(goes: Cached, stays: Cached) -> None:
    chosen = choose_victims([stays, goes], 5, inflation=0.0)
    assert chosen is not None
    assert chosen.victims == (goes.id,)
    assert chosen.inflation == goes.priority


def test_nothing_goes_while_nothing_lacks() -> None:
    assert choose_victims([Cached("a", 10, 1.0)], 0, inflation=0.25) == Eviction((), 0.25)
    assert choose_victims([Cached("a", 10, 1.0)], -5, inflation=0.25) == Eviction((), 0.25)


def test_a_favourite_of_the_past_goes_in_the_end() -> None:
    old = Cached("old", 10, 1.0, uses=5)
    inflation = 0.0
    for round_number in range(50):
        new = Cached(f"new-{round_number}", 10, 1.0).used(inflation)
        chosen = choose_victims([old, new], 10, inflation)
        assert chosen is not None
        inflation = chosen.inflation
        if chosen.victims == ("old",):
            return
    raise AssertionError("what nobody uses any more is kept for ever")


@given(st.lists(cached, max_size=20), st.integers(-10, 5000))
def test_as_little_goes_as_frees_enough_cheapest_first(entries: list[Cached], wanted: int) -> None:
    chosen = choose_victims(entries, wanted, inflation=0.0)
    if chosen is None:
        assert sum(entry.bytes for entry in entries) < wanted
        return
    by_id = {entry.id: entry for entry in entries}
    freed = [by_id[victim].bytes for victim in chosen.victims]
    assert sum(freed) >= wanted
    assert sum(freed[:-1]) < max(wanted, 1)
    kept = [entry for entry in entries if entry.id not in chosen.victims]
    dearest = max((by_id[victim].priority for victim in chosen.victims), default=0.0)
    assert all(entry.priority >= dearest for entry in kept)
