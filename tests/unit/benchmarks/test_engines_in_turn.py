"""Servers side by side: each thing is measured of all of them before the next, and waves come to one rate."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from benchmarks.engines.asking import Asker, Messages
from benchmarks.engines.measures import ANSWER_TOKENS, Plan, Running, in_turn
from benchmarks.sse import Arrival, Stream

PLAN = Plan(prefills=(32,), streams=(1, 8), waves=3)


class Answering:
    """A server that takes the next of `seconds` for each wave of answers, half of it for the first text."""

    def __init__(self, name: str, seconds: Sequence[float], asked: list[tuple[str, int, int]]) -> None:
        self._name = name
        self._seconds = itertools.cycle(seconds)
        self._asked = asked

    def ask(self, conversations: Sequence[Messages], tokens: int) -> list[Stream]:
        self._asked.append((self._name, len(conversations), tokens))
        took = next(self._seconds) if tokens == ANSWER_TOKENS else 1.0
        answer = Stream(0.0, took, (Arrival(took / 2, "text"),), done=True, tokens=tokens)
        return [answer for _ in conversations]


@pytest.fixture(autouse=True)
def without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def running(name: str, seconds: Sequence[float], asked: list[Any]) -> Running:
    return Running(cast("Asker", Answering(name, seconds, asked)), list)


def test_each_thing_is_measured_of_all_before_the_next_and_nobody_keeps_the_first_place() -> None:
    asked: list[tuple[str, int, int]] = []
    in_turn({name: running(name, [1.0], asked) for name in ("one", "other")}, PLAN, itertools.count())
    things = asked[:-4]  # a second turn asks twice
    pairs = list(zip(things[::2], things[1::2], strict=True))
    assert all({first[0], second[0]} == {"one", "other"} and first[1:] == second[1:] for first, second in pairs)
    assert {first[0] for first, _ in pairs} == {"one", "other"}
    waves = [count for name, count, tokens in asked if name == "one" and tokens == ANSWER_TOKENS]
    assert waves == [1, 8] * PLAN.waves


def test_a_rate_is_the_median_of_the_rounds_waves() -> None:
    seconds = [4.0, 2.0, 4.0, 8.0, 4.0, 4.0]  # of one and of eight streams in turn
    found = in_turn({"one": running("one", seconds, [])}, PLAN, itertools.count())["one"]
    assert found.rates == {1: ANSWER_TOKENS / 4, 8: 8 * ANSWER_TOKENS / 4}
    assert found.loaded_first_seconds == 2.0
    assert found.prefill_seconds == {32: 0.5}
    assert found.second_turn == 1.0
    assert found.idle_cores == 0.0
