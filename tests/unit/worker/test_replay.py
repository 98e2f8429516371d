"""What is recorded of an invocation's earlier life, read by the handler that is run again, and marked for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRuns
from typing import Any

import pytest

from quickthaw.errors import HandlerDiverged
from quickthaw.generation import Delta, Sampling
from quickthaw_platform.worker.replay import Mark, Recorder, Replay, Stopped, prompt_digest

A, B, C = (Delta(text=text, tokens=(number,)) for number, text in enumerate("abc"))
A_MOMENT_SECONDS = 0.05


class Ear:
    """A listener that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[Delta] = []
        self.begun: tuple[Sequence[Delta], bool] | None = None
        self.live = 0

    def begin(self, recorded: Sequence[Delta], is_open: bool) -> Ear:
        self.begun = list(recorded), is_open
        return self

    def replayed(self, delta: Delta) -> None:
        self.heard.append(delta)

    def go_live(self) -> None:
        self.live += 1


def record(index: int, delta: Delta, *, generation: int = 0, prompt: str = "") -> tuple[str, dict[str, Any]]:
    return str(Mark(generation, index, prompt)), delta.to_json()


def value(text: str) -> dict[str, Any]:
    return {"value": text}


Later = Callable[[Callable[[], Any]], "Future[Any]"]


@pytest.fixture
def later() -> Iterator[Later]:
    """Run something in a thread, after making sure that it blocks."""

    def start(call: Callable[[], Any]) -> Future[Any]:
        running = pool.submit(call)
        with pytest.raises(StillRuns):
            running.result(A_MOMENT_SECONDS)
        return running

    with ThreadPoolExecutor(2) as pool:
        yield start


@pytest.mark.parametrize("mark", [Mark(0, 0, "abc"), Mark(3, 17), Mark(10, 0)])
def test_a_mark_survives_its_string_form(mark: Mark) -> None:
    assert Mark.parse(str(mark)) == mark


@pytest.mark.parametrize(
    ("tokens", "sampling"),
    [
        ([1, 2, 4], Sampling(seed=7)),  # another prompt
        ([1, 2, 3], Sampling(seed=8)),  # other randomness
        ([1, 2, 3], Sampling(seed=7, max_tokens=5)),
    ],
)
def test_what_is_asked_differently_has_another_digest(tokens: list[int], sampling: Sampling) -> None:
    asked = prompt_digest([1, 2, 3], Sampling(seed=7))
    assert prompt_digest((1, 2, 3), Sampling(seed=7)) == asked
    assert prompt_digest(tokens, sampling) != asked


class TestGenerations:
    def test_a_closed_record_is_all_there_is(self) -> None:
        replay, ear = Replay(), Ear()
        replay.extend([], [record(0, A), record(1, B), record(0, C, generation=1)])
        replay.join(0, "p", ear.begin)
        assert ear.begun == ([A, B], False)

    def test_an_open_record_grows_until_it_is_closed(self) -> None:
        replay, ear, other = Replay(is_open=True), Ear(), Ear()
        replay.extend([], [record(0, A)])
        replay.join(0, "p", ear.begin)
        replay.join(1, "p", other.begin)
        assert ear.begun == ([A], True)
        replay.extend([], [record(1, B)])
        replay.extend([], [record(2, C), record(0, C, generation=1)])
        assert (ear.heard, other.heard) == ([B, C], [C])
        assert ear.live == 0
        replay.close()
        assert (ear.live, other.live) == (1, 1)

    def test_one_that_begins_after_the_close_is_live_from_the_first(self) -> None:
        replay, ear = Replay(is_open=True), Ear()
        replay.close()
        replay.join(0, "p", ear.begin)
        assert ear.begun == ([], False)

    def test_what_comes_twice_counts_once(self) -> None:
        replay, ear = Replay(is_open=True), Ear()
        replay.extend([], [record(0, A), record(1, B)])
        replay.join(0, "p", ear.begin)
        replay.extend([], [record(0, A), record(1, B), record(2, C)])
        assert (ear.begun, ear.heard) == (([A, B], True), [C])

    def test_another_question_than_before_is_a_divergence(self) -> None:
        replay, ear = Replay(), Ear()
        replay.extend([], [record(0, A, prompt="asked"), record(1, B)])
        with pytest.raises(HandlerDiverged, match="asked the model something else"):
            replay.join(0, "else", ear.begin)
        assert ear.begun is None
        replay.join(0, "asked", ear.begin)
        replay.join(1, "new", ear.begin)


class TestOutputs:
    def test_what_was_put_out_is_dropped_and_the_rest_is_new(self) -> None:
        replay = Replay()
        replay.extend([value("one"), value("two")], [])
        assert [replay.said(number, value(text)) for number, text in enumerate(["one", "two", "three"])] == [
            True, True, False,
        ]  # fmt: skip

    def test_they_are_compared_as_they_were_stored(self) -> None:
        replay = Replay()
        replay.extend([{"value": [1, 2], "more": {"1": None}}], [])
        assert replay.said(0, {"value": (1, 2), "more": {1: None}})

    def test_another_output_than_before_is_a_divergence(self) -> None:
        replay = Replay()
        replay.extend([value("one"), value("two")], [])
        assert replay.said(0, value("one"))
        with pytest.raises(HandlerDiverged, match="output 2 was not what it had been"):
            replay.said(1, value("zwei"))

    def test_while_the_record_is_open_the_next_one_may_still_come(self, later: Later) -> None:
        replay = Replay(is_open=True)
        waiting = later(lambda: replay.said(0, value("one")))
        replay.extend([value("one")], [])
        assert waiting.result(5) is True

    def test_once_it_is_closed_nothing_more_comes(self, later: Later) -> None:
        replay = Replay(is_open=True)
        waiting = later(lambda: replay.said(0, value("one")))
        replay.close()
        assert waiting.result(5) is False


class TestEnd:
    def test_a_handler_ends_when_the_record_is_closed(self, later: Later) -> None:
        replay = Replay(is_open=True)
        replay.extend([value("one")], [])
        waiting = later(lambda: replay.end(1))
        replay.close()
        assert waiting.result(5) is None

    def test_one_that_ends_before_it_did_diverged(self, later: Later) -> None:
        replay = Replay(is_open=True)
        waiting = later(lambda: replay.end(0))
        replay.extend([value("one")], [])
        replay.close()
        with pytest.raises(HandlerDiverged, match="after 0 outputs instead of 1"):
            waiting.result(5)

    def test_closing_again_does_no_harm(self) -> None:
        replay = Replay(is_open=True)
        replay.close()
        replay.close()
        replay.end(0)


@pytest.mark.parametrize("wait", [lambda r: r.said(0, value("one")), lambda r: r.end(0)], ids=["said", "end"])
def test_who_waits_is_stopped(later: Later, wait: Callable[[Replay], Any]) -> None:
    replay = Replay(is_open=True)
    waiting = later(lambda: wait(replay))
    replay.stop()
    with pytest.raises(Stopped):
        waiting.result(5)
    with pytest.raises(Stopped):
        wait(replay)


def test_no_except_exception_of_a_handler_keeps_it_from_being_stopped() -> None:
    assert not issubclass(Stopped, Exception)


class Kept:
    """A recorder, and what it kept beside the chunks."""

    def __init__(self) -> None:
        self.beside: list[tuple[str, Delta]] = []
        self.recorder = Recorder(lambda mark, delta: self.beside.append((mark, delta)))

    def hand_out(self, index: int, delta: Delta) -> Delta:
        self.recorder.handed_out(Mark(0, index), delta)
        return delta


class TestRecorder:
    def test_a_delta_put_out_as_it_is_is_marked_in_its_chunk(self) -> None:
        kept = Kept()
        assert [kept.recorder.mark_of(kept.hand_out(index, delta)) for index, delta in enumerate([A, B])] == [
            "0.0.", "0.1.",
        ]  # fmt: skip
        assert kept.beside == []

    def test_one_that_is_kept_is_recorded_before_the_next_chunk(self) -> None:
        kept = Kept()
        kept.hand_out(0, A)
        assert kept.beside == []
        assert kept.recorder.mark_of("my own words") == ""
        assert kept.beside == [("0.0.", A)]

    def test_one_that_is_kept_is_recorded_before_the_next_is_handed_out(self) -> None:
        kept = Kept()
        kept.hand_out(0, A)
        later = kept.hand_out(1, B)
        assert kept.beside == [("0.0.", A)]
        assert kept.recorder.mark_of(later) == "0.1."

    def test_one_put_out_late_is_no_model_output_any_more(self) -> None:
        kept = Kept()
        first = kept.hand_out(0, A)
        kept.hand_out(1, B)
        assert kept.recorder.mark_of(first) == ""
        assert kept.beside == [("0.0.", A), ("0.1.", B)]

    def test_an_equal_one_that_the_handler_made_is_its_own(self) -> None:
        kept = Kept()
        kept.hand_out(0, A)
        assert kept.recorder.mark_of(Delta.from_json(A.to_json())) == ""
        assert kept.beside == [("0.0.", A)]

    def test_the_same_one_put_out_twice_is_marked_once(self) -> None:
        kept = Kept()
        delta = kept.hand_out(0, A)
        assert [kept.recorder.mark_of(delta), kept.recorder.mark_of(delta)] == ["0.0.", ""]

    def test_without_a_record_nothing_is_marked(self) -> None:
        recorder = Recorder(None)
        recorder.handed_out(Mark(0, 0), A)
        assert recorder.mark_of(A) == ""

    def test_handlers_with_threads_lose_and_double_nothing(self) -> None:
        kept, deltas = Kept(), [Delta(tokens=(number,)) for number in range(400)]
        marked: list[str] = []
        lock = threading.Lock()

        def run(number: int) -> None:
            mark = kept.recorder.mark_of(kept.hand_out(number, deltas[number]))
            if mark:
                with lock:
                    marked.append(mark)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(run, range(400)))
        kept.recorder.mark_of(None)
        found = sorted(Mark.parse(mark).index for mark in [*marked, *(mark for mark, _ in kept.beside)])
        assert found == list(range(400))
