"""Taking over from a store and with an instance that fail at each step in turn: there is one owner afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from quickthaw_platform.errors import InstanceLost, Unavailable
from quickthaw_platform.invocations.records import Accepted, History, Offer
from quickthaw_platform.invocations.store import NOTHING
from quickthaw_platform.migration.handover import Handover, Result, take_over
from quickthaw_platform.migration.plan import CLOSE_TOKENS, MAX_ROUNDS

OFFER = Offer("i", 2, "x2", "n2")
CALLS = ("history 1", "hold", "history 2", "extend", "history 3", "accept", "take")
"""What a handover of two rounds calls, in order."""


def history(first: int, count: int) -> History:
    """So many tokens, from a position on."""
    records = tuple((f"0.{number}.", {"text": "t", "tokens": [number]}) for number in range(first, first + count))
    return History(records=records, seq=first + count)


class World:
    """Implements the handover's Store and Destination; the call that `fails` names is cut off, after its effect or
    before it.
    """

    def __init__(self, said: list[int], *, fails: str = "", after_effect: bool = False) -> None:
        """`said` is how many tokens the source says before each look at its history; nothing once it is used up."""
        self.owner = "source"
        self.is_offered = True
        self.calls: list[str] = []
        self.computed = 0  # tokens that the destination knows
        self.is_live = False
        self.dropped = 0
        self._said = iter(said)
        self._tokens = 0
        self._looks = itertools.count(1)
        self._fails = fails
        self._after_effect = after_effect

    def history(self, identity: str, after: History = NOTHING) -> History:
        assert identity == OFFER.invocation
        with self._step(f"history {next(self._looks)}"):
            self._tokens += next(self._said, 0)
        return history(after.seq, self._tokens - after.seq)

    def accept(self, offer: Offer, known: History) -> Accepted | None:
        assert offer == OFFER
        with self._step("accept"):
            if not self.is_offered:
                return None
            self.owner = "destination"
            self._tokens += next(self._said, 0)
        return Accepted(self._tokens + 1, history(known.seq, self._tokens - known.seq), "n1")

    def decline(self, offer: Offer, reason: str) -> None:
        raise AssertionError(f"the caller declines {offer}: {reason}")

    def hold(self, known: History) -> None:
        with self._step("hold"):
            self.computed = known.tokens

    def extend(self, since: History) -> None:
        with self._step("extend"):
            self.computed += since.tokens

    def take(self, accepted: Accepted, known: History) -> None:
        assert known.tokens == self.computed
        with self._step("take"):
            self.computed += accepted.history.tokens
            self.is_live = True

    def drop(self) -> None:
        self.dropped += 1
        self.is_live = False

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.calls.append(name)
        if name == self._fails and not self._after_effect:
            raise InstanceLost("it was not done")
        yield
        if name == self._fails:
            raise Unavailable("the answer was lost")


def run(world: World) -> Handover:
    return take_over(world, OFFER, world)


def test_it_computes_what_is_known_then_what_came_meanwhile_then_takes_over() -> None:
    world = World([100, 10, CLOSE_TOKENS, 1])
    how = run(world)
    assert tuple(world.calls) == CALLS
    assert (how.result, how.rounds, how.tokens) == (Result.MOVED, 2, 110)
    assert how.accepted is not None
    assert how.accepted.history.tokens == CLOSE_TOKENS + 1  # what the client waits for
    assert (world.owner, world.is_live, world.computed, world.dropped) == ("destination", True, 113, 0)


def test_a_source_that_says_nothing_is_left_after_one_round() -> None:
    world = World([100])
    assert run(world).rounds == 1
    assert "extend" not in world.calls


def test_a_source_that_is_faster_is_not_chased_for_ever() -> None:
    world = World([100] * 1000)
    how = run(world)
    assert (how.result, how.rounds) == (Result.MOVED, MAX_ROUNDS)
    assert world.calls.count("extend") == MAX_ROUNDS - 1


def test_one_that_ended_first_is_dropped() -> None:
    world = World([100])
    world.is_offered = False
    how = run(world)
    assert (how.result, how.accepted) == (Result.LATE, None)
    assert (world.owner, world.is_live, world.dropped) == ("source", False, 1)


@pytest.mark.parametrize("after_effect", [False, True], ids=["not done", "answer lost"])
@pytest.mark.parametrize("fails", CALLS)
def test_whichever_call_fails_there_is_one_owner_and_the_destination_stops(fails: str, after_effect: bool) -> None:
    world = World([100, 10, CLOSE_TOKENS, 1], fails=fails, after_effect=after_effect)
    with pytest.raises((InstanceLost, Unavailable)):
        run(world)
    assert world.dropped == 1
    assert not world.is_live
    accepted = fails == "take" or (fails == "accept" and after_effect)
    assert world.owner == ("destination" if accepted else "source")


def test_even_an_interrupt_stops_the_destination() -> None:
    class Interrupted(World):
        def extend(self, since: History) -> None:
            raise KeyboardInterrupt

    world = Interrupted([100, 10])
    with pytest.raises(KeyboardInterrupt):
        run(world)
    assert (world.owner, world.dropped) == ("source", 1)
