"""One question to the model, over an engine that only notes what it is asked and says what the test lets it say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from quickthaw.errors import HandlerDiverged, InstanceLost
from quickthaw.generation import Delta, Sampling
from quickthaw_platform.contracts import Engine, GenerationRequest, Sink
from quickthaw_platform.worker.generation import Generation, Item, Recorded
from quickthaw_platform.worker.model import BoundModel
from quickthaw_platform.worker.replay import Mark, Replay, Stopped, prompt_digest

PROMPT = (10, 11)


class Words:
    """A tokenizer with a token for each character."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


class FakeEngine:
    """Does nothing by itself: `say` and `compute` play the engine's thread."""

    def __init__(self) -> None:
        self.tokenizer = Words()
        self.context_tokens = 100
        self.calls: list[tuple[str, str]] = []
        self.requests: dict[str, GenerationRequest] = {}
        self.told: dict[str, list[int]] = {}
        self._sinks: dict[str, Sink] = {}
        self._on_held: dict[str, Callable[[int], None]] = {}

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        self.calls.append(("submit", request.id))
        self.requests[request.id], self._sinks[request.id] = request, sink

    def hold(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None]) -> None:
        self.calls.append(("hold", request.id))
        self.requests[request.id], self._sinks[request.id] = request, sink
        self._on_held[request.id] = on_held

    def extend(self, request_id: str, tokens: Sequence[int]) -> None:
        self.calls.append(("extend", request_id))
        self.told.setdefault(request_id, []).extend(tokens)

    def release(self, request_id: str) -> None:
        self.calls.append(("release", request_id))

    def cancel(self, request_id: str) -> None:
        self.calls.append(("cancel", request_id))

    def say(self, request_id: str, item: Delta) -> None:
        self._sinks[request_id](item)

    def compute(self, request_id: str) -> None:
        """All that is known of a held request has been computed."""
        known = len(self.requests[request_id].tokens) + len(self.told.get(request_id, []))
        self._on_held[request_id](known)

    def take(self) -> list[tuple[str, str]]:
        """Return what was called since."""
        calls, self.calls = self.calls, []
        return calls


def said(token: int, choice: int = 0, **fields: Any) -> Delta:
    return Delta(text="t", tokens=(token,), choice=choice, **fields)


class Harness:
    def __init__(self, choices: int = 1, **sampling: Any) -> None:
        self.engine = FakeEngine()
        self.caught_up = 0
        self.generation = Generation(
            cast("Engine", self.engine),
            [
                GenerationRequest(f"i/0.{choice}", PROMPT, Sampling(seed=choice, **sampling), choice=choice)
                for choice in range(choices)
            ],
            on_caught_up=self._catch_up,
        )

    def _catch_up(self) -> None:
        self.caught_up += 1

    def items(self) -> list[Item]:
        found = []
        while not self.generation.items.empty():
            found.append(self.generation.items.get())
        return found


class TestWithoutRecord:
    def test_each_choice_is_a_fresh_request(self) -> None:
        h = Harness(choices=2, echo=True)
        h.generation.begin([], hold=False)
        assert h.engine.take() == [("submit", "i/0.0"), ("submit", "i/0.1")]
        assert h.engine.requests == {r.id: r for r in h.generation.requests.values()}
        h.engine.say("i/0.1", said(5, choice=1))
        assert h.items() == [said(5, choice=1)]


class TestClosedRecord:
    def test_what_is_recorded_comes_first_and_the_engine_goes_on_behind_it(self) -> None:
        h = Harness(choices=2)
        recorded = [said(1), said(2, choice=1), said(3)]
        h.generation.begin(recorded, hold=False)
        assert h.items() == [Recorded(delta) for delta in recorded]
        first, second = h.engine.requests["i/0.0"], h.engine.requests["i/0.1"]
        assert (first.tokens, first.generated) == ((*PROMPT, 1, 3), 2)
        assert (second.tokens, second.generated) == ((*PROMPT, 2), 1)

    def test_a_choice_whose_end_is_recorded_is_not_asked_again(self) -> None:
        h = Harness(choices=2)
        h.generation.begin([said(1), said(2, finish_reason="stop"), said(3, choice=1)], hold=False)
        assert h.engine.take() == [("submit", "i/0.1")]

    def test_one_that_has_ended_altogether_asks_nothing(self) -> None:
        h = Harness()
        h.generation.begin([said(1), Delta(finish_reason="length")], hold=False)
        assert h.engine.take() == []
        assert len(h.items()) == 2

    def test_a_prompt_that_was_said_is_not_said_again(self) -> None:
        """Only by the choice that has not said it."""
        h = Harness(choices=2, echo=True)
        h.generation.begin([Delta(text="the prompt", prompt_tokens=2)], hold=False)
        assert [h.engine.requests[f"i/0.{choice}"].sampling.echo for choice in (0, 1)] == [False, True]


class TestOpenRecord:
    @pytest.fixture
    def h(self) -> Harness:
        """Two choices, of each of which one token is recorded."""
        made = Harness(choices=2)
        made.generation.begin([said(1), said(2, choice=1)], hold=True)
        made.engine.take()
        made.items()
        return made

    def test_it_is_held_with_what_is_recorded(self) -> None:
        h = Harness()
        h.generation.begin([said(1)], hold=True)
        assert h.engine.take() == [("hold", "i/0.0")]
        assert h.engine.requests["i/0.0"].tokens == (*PROMPT, 1)

    def test_it_has_caught_up_when_every_choice_is_computed(self, h: Harness) -> None:
        assert h.generation.is_behind
        h.engine.compute("i/0.0")
        assert (h.caught_up, h.generation.is_behind) == (0, True)
        h.engine.compute("i/0.1")
        assert (h.caught_up, h.generation.is_behind) == (1, False)

    def test_what_is_recorded_later_extends_it(self, h: Harness) -> None:
        for choice in (0, 1):
            h.engine.compute(f"i/0.{choice}")
        h.generation.replayed(said(3))
        h.generation.replayed(said(4))
        assert h.engine.take() == [("extend", "i/0.0")] * 2
        assert h.engine.told == {"i/0.0": [3, 4]}
        assert h.items() == [Recorded(said(3)), Recorded(said(4))]
        assert h.generation.is_behind
        h.engine.compute("i/0.0")
        assert (h.caught_up, h.generation.is_behind) == (2, False)

    def test_a_computation_of_less_than_is_known_is_not_the_last(self, h: Harness) -> None:
        h.engine.compute("i/0.1")
        on_held = h.engine._on_held["i/0.0"]
        h.generation.replayed(said(3))
        on_held(len(PROMPT) + 1)  # it had been under way
        assert (h.caught_up, h.generation.is_behind) == (0, True)

    def test_text_without_tokens_leaves_nothing_to_compute(self, h: Harness) -> None:
        for choice in (0, 1):
            h.engine.compute(f"i/0.{choice}")
        h.generation.replayed(Delta(text="held back"))
        assert h.engine.take() == []
        assert not h.generation.is_behind

    def test_a_choice_that_ends_meanwhile_leaves_the_batch(self, h: Harness) -> None:
        h.engine.compute("i/0.1")
        h.generation.replayed(said(3, finish_reason="stop"))
        assert h.engine.take() == [("cancel", "i/0.0")]
        assert not h.generation.is_behind
        h.generation.go_live()
        assert h.engine.take() == [("release", "i/0.1")]

    def test_when_the_record_is_closed_all_that_runs_is_released(self, h: Harness) -> None:
        h.generation.go_live()
        assert h.engine.take() == [("release", "i/0.0"), ("release", "i/0.1")]
        h.engine.say("i/0.1", said(9, choice=1))
        assert h.items() == [said(9, choice=1)]


def test_who_reads_one_that_is_stopped_learns_of_it() -> None:
    h = Harness(choices=2)
    h.generation.begin([], hold=False)
    h.engine.take()
    h.generation.stop()
    assert h.engine.take() == [("cancel", "i/0.0"), ("cancel", "i/0.1")]
    [item] = h.items()
    assert isinstance(item, Stopped)


class Bound:
    """A model bound to the fake engine, with what its handler recorded."""

    def __init__(self, replay: Replay | None = None, **arguments: Any) -> None:
        self.engine = FakeEngine()
        self.records: list[tuple[str, Delta]] = []
        self.model = BoundModel(
            cast("Engine", self.engine),
            "i",
            seed=7,
            replay=replay,
            record=lambda mark, delta: self.records.append((mark, delta)),
            **arguments,
        )


def replay_of(*deltas: Delta, prompt: str = "", is_open: bool = False) -> Replay:
    replay = Replay(is_open=is_open)
    marks = (Mark(0, index, "" if index else prompt) for index in range(len(deltas)))
    replay.extend([], [(str(mark), delta.to_json()) for mark, delta in zip(marks, deltas, strict=True)])
    return replay


class TestModel:
    def test_the_prompt_is_counted_once_over_both_lives(self) -> None:
        """An engine counts it on the first delta of each request, so on that of a resumed one too."""
        b = Bound(replay_of(said(1, prompt_tokens=2, cached_tokens=1)))
        answer = b.model.complete("ab")
        b.engine.say("i/0.0", said(2, prompt_tokens=2, cached_tokens=2))
        b.engine.say("i/0.0", said(3, finish_reason="stop"))
        assert [(delta.prompt_tokens, delta.cached_tokens) for delta in answer] == [(2, 1), (None, None), (None, None)]
        assert b.model.usage.cached_tokens == 1
        assert (b.model.usage.prompt_tokens, b.model.usage.completion_tokens) == (2, 3)

    def test_a_choice_that_had_said_nothing_counts_it(self) -> None:
        b = Bound(replay_of(said(1, prompt_tokens=2)))
        answer = b.model.complete("ab", n=2)
        b.engine.say("i/0.1", said(2, choice=1, prompt_tokens=2, finish_reason="stop"))
        b.engine.say("i/0.0", said(3, prompt_tokens=2, finish_reason="stop"))
        assert [(delta.choice, delta.prompt_tokens) for delta in answer] == [(0, 2), (1, 2), (0, None)]

    def test_only_what_is_new_is_recorded_and_with_the_next_mark(self) -> None:
        b = Bound(replay_of(said(1), said(2)))
        answer = b.model.complete("ab")
        b.engine.say("i/0.0", said(3))
        b.engine.say("i/0.0", said(4, finish_reason="stop"))
        assert len(list(answer)) == 4
        assert b.model.recorder.mark_of("the handler's own") == ""
        assert [(mark, delta.tokens) for mark, delta in b.records] == [("0.2.", (3,)), ("0.3.", (4,))]

    def test_the_first_record_carries_what_was_asked(self) -> None:
        b = Bound()
        answer = b.model.complete("ab")
        b.engine.say("i/0.0", said(1, finish_reason="stop"))
        asked = prompt_digest([97, 98], Sampling())
        assert b.model.recorder.mark_of(next(answer)) == f"0.0.{asked}"

    def test_one_that_is_all_recorded_needs_no_engine(self) -> None:
        b = Bound(replay_of(said(1), said(2, choice=1, finish_reason="stop"), said(3, finish_reason="length")))
        assert [delta.tokens for delta in b.model.complete("ab", n=2)] == [(1,), (2,), (3,)]
        assert b.engine.take() == []
        assert b.records == []

    def test_a_question_that_differs_is_refused_where_it_is_asked(self) -> None:
        b = Bound(replay_of(said(1), prompt=prompt_digest([97, 98], Sampling())))
        with pytest.raises(HandlerDiverged):
            b.model.complete("ac")
        assert not b.model.is_behind

    def test_while_the_record_is_open_it_hears_of_the_end_of_a_round(self) -> None:
        rounds: list[None] = []
        b = Bound(replay_of(said(1), is_open=True), on_caught_up=lambda: rounds.append(None))
        answer: Iterator[Delta] = b.model.complete("ab")
        assert b.model.is_behind
        b.engine.compute("i/0.0")
        assert (len(rounds), b.model.is_behind) == (1, False)
        assert next(answer) == said(1)

    def test_an_engines_error_ends_the_answer(self) -> None:
        b = Bound()
        answer = b.model.complete("ab")
        b.engine._sinks["i/0.0"](InstanceLost("no memory"))
        with pytest.raises(InstanceLost):
            next(answer)
        assert b.engine.take()[-1] == ("cancel", "i/0.0")


def test_requests_keep_their_seed_and_choice_when_they_go_on() -> None:
    h = Harness(choices=2)
    h.generation.begin([said(1, choice=1)], hold=False)
    fresh = h.generation.requests[1]
    assert h.engine.requests["i/0.1"] == replace(fresh, tokens=(*PROMPT, 1), generated=1)
