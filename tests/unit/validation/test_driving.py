"""How windows are sent: several at a time, again where the platform is at fault, and never one that is done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from quickthaw.errors import ContextLengthExceeded, InstanceLost, NotServable, Unreachable, UnusableAnswer
from quickthaw_platform.validation.driving import ATTEMPTS, Driver
from quickthaw_platform.validation.journal import Journal, journal
from quickthaw_platform.validation.scores import WindowScore
from tests.unit.validation.answers import Respond, asker, completion, error, logprob, plan, scored

WINDOWS = 5  # of `plan()`
EXPECTED = {
    number: WindowScore(number, -sum(logprob(t) for t in range(8 * number + 1, 8 * number + 8)), 7)
    for number in range(WINDOWS)
}


class Patience:
    """Sleeps without waiting, and remembers how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def run(respond: Respond, journal: Journal, **more: object) -> None:
    async def score() -> None:
        async with asker(respond) as found:
            driver = Driver(found, **{"sleep": Patience(), **more})  # type: ignore[arg-type]
            await driver.check(plan())
            await driver.run(plan(), journal)

    asyncio.run(score())


def firsts(respond: Respond) -> tuple[list[int], Respond]:
    """Return what is called, and a list of the first tokens of all windows that it was asked for."""
    asked: list[int] = []

    def listening(request: httpx.Request) -> httpx.Response:
        prompt = json.loads(request.content)["prompt"]
        if len(prompt) == 8:
            asked.append(prompt[0])
        return respond(request)

    return asked, listening


def test_every_window_is_scored_once_and_told(tmp_path: Path) -> None:
    asked, respond = firsts(scored)
    told: list[tuple[int, int]] = []
    with journal(tmp_path, "k", resume=False) as found:
        run(respond, found, progress=lambda windows, tokens: told.append((windows, tokens)))
        assert found.scores == EXPECTED
    assert sorted(asked) == [0, 8, 16, 24, 32]
    assert told == [(number, 8 * number) for number in range(WINDOWS + 1)]


def test_what_is_in_the_journal_is_not_asked_again(tmp_path: Path) -> None:
    asked, respond = firsts(scored)
    with journal(tmp_path, "k", resume=False) as found:
        for number in (0, 2):
            found.add(EXPECTED[number], 1.0)
        run(respond, found)
        assert found.scores == EXPECTED
    assert sorted(asked) == [8, 24, 32]


def test_at_most_so_many_windows_are_under_way(tmp_path: Path) -> None:
    under_way, most = 0, 0

    async def respond(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return scored(request)

    with journal(tmp_path, "k", resume=False) as found:
        run(respond, found, parallel=3)  # type: ignore[arg-type]
    assert most == 3


@pytest.mark.parametrize(
    "fault",
    [
        lambda _: error(503, "instance_lost"),
        lambda _: error(503, "node_lost"),
        lambda _: error(429, "queue_full", retry_after_seconds=2.0),
        lambda _: (_ for _ in ()).throw(httpx.ReadError("reset")),
    ],
    ids=["instance lost", "node lost", "queue full", "connection reset"],
)
def test_a_killed_worker_costs_its_windows_and_nothing_else(tmp_path: Path, fault: Respond) -> None:
    faults = {16: 2, 24: 1}  # of the window that begins so

    def failing(request: httpx.Request) -> httpx.Response:
        first = json.loads(request.content)["prompt"][0]
        if faults.get(first, 0):
            faults[first] -= 1
            return fault(request)
        return scored(request)

    asked, respond = firsts(failing)
    with journal(tmp_path, "k", resume=False) as found:
        run(respond, found)
        assert found.scores == EXPECTED
    assert sorted(asked) == [0, 8, 16, 16, 16, 24, 24, 32]


def test_a_platform_that_stays_away_ends_the_run_and_what_was_scored_stays(tmp_path: Path) -> None:
    patience = Patience()

    def respond(request: httpx.Request) -> httpx.Response:
        return error(503, "instance_lost") if json.loads(request.content)["prompt"][0] == 32 else scored(request)

    with pytest.raises(InstanceLost), journal(tmp_path, "k", resume=False) as found:
        run(respond, found, parallel=1, sleep=patience)
    assert patience.seconds[:4] == [0.5, 1.0, 2.0, 4.0]
    assert len(patience.seconds) == ATTEMPTS - 1
    with journal(tmp_path, "k", resume=True) as found:
        assert sorted(found.scores) == [0, 1, 2, 3]


def test_a_window_beyond_the_context_is_known_with_the_first_answer(tmp_path: Path) -> None:
    with (
        journal(tmp_path, "k", resume=False) as found,
        pytest.raises(ContextLengthExceeded, match="choose a smaller --window") as caught,
    ):
        run(
            lambda r: scored(r) if len(json.loads(r.content)["prompt"]) < 8 else error(400, "context_length_exceeded"),
            found,
        )
    assert caught.value.param == "window"
    assert found.scores == {}


def test_nothing_is_scored_where_the_server_returns_no_log_probabilities(tmp_path: Path) -> None:
    asked, respond = firsts(lambda _: completion([]))
    with pytest.raises(NotServable), journal(tmp_path, "k", resume=False) as found:
        run(respond, found)
    assert asked == []


def test_a_model_whose_scores_are_no_numbers_ends_the_run(tmp_path: Path) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        broken = scored(request)
        return (
            httpx.Response(200, content=broken.content.replace(b"-1.5", b"NaN")) if b"32" in request.content else broken
        )

    with pytest.raises(UnusableAnswer, match="no finite number"), journal(tmp_path, "k", resume=False) as found:
        run(respond, found)


def test_an_observer_hears_the_positions_that_each_window_scored(tmp_path: Path) -> None:
    heard: dict[int, list[float]] = {}
    observe: Callable[..., None] = lambda number, _, found: heard.update({number: [one.logprob for one in found]})  # noqa: E731
    with journal(tmp_path, "k", resume=False) as found:
        run(scored, found, observer=observe)
    assert heard == {n: [logprob(t) for t in range(8 * n + 1, 8 * n + 8)] for n in range(WINDOWS)}


def refused(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def test_a_server_that_does_not_answer_at_the_beginning_is_told_at_once(tmp_path: Path) -> None:
    patience = Patience()
    with journal(tmp_path, "k", resume=False) as found, pytest.raises(Unreachable, match="connection refused"):
        run(refused, found, sleep=patience)
    assert patience.seconds == []


def test_a_server_that_goes_away_in_the_middle_is_waited_for(tmp_path: Path) -> None:
    patience = Patience()
    calls = 0

    def away_once(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return refused(request) if calls == 3 else scored(request)

    with journal(tmp_path, "k", resume=False) as found:
        run(away_once, found, sleep=patience)
        assert found.scores == EXPECTED
    assert len(patience.seconds) == 1
