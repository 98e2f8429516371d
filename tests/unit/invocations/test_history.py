"""What a later owner is told of an invocation's past."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.invocations.records import Append, Chunk, History, Record, compact
from quickthaw_platform.invocations.store import NOTHING, InvocationStore
from tests.state import make_invocation, make_version, start_instance


def delta(*tokens: int) -> dict[str, Any]:
    return {"text": "t", "tokens": list(tokens)}


def entry(number: int, event: dict[str, Any], mark: str | None = None) -> list[Any]:
    """An entry of a log as a script answers it."""
    return [f"{number}-0", ["e", compact(event)] + ([] if mark is None else ["m", mark])]


def beside(number: int, mark: str, body: dict[str, Any]) -> list[Any]:
    return [f"{number}-0", ["r", compact([mark, body])]]


STATUS = {"type": "status", "state": "running"}


def test_outputs_are_the_chunks_and_records_the_model_output_in_them_and_beside_them() -> None:
    log = [
        entry(3, STATUS),
        entry(4, {"type": "chunk", "delta": delta(1)}, "0.0.asked"),
        entry(5, {"type": "chunk", "value": "the handler's own"}),
        entry(6, {"type": "chunk", "delta": delta(9)}),  # one that the handler made
        entry(7, {"type": "chunk", "delta": delta(3, 4)}, "0.2."),
    ]
    history = History.parse(log, [beside(1, "0.1.", delta(2))], 2, 0)
    assert history.outputs == (
        {"delta": delta(1)}, {"value": "the handler's own"}, {"delta": delta(9)}, {"delta": delta(3, 4)},
    )  # fmt: skip
    assert history.records == (("0.0.asked", delta(1)), ("0.1.", delta(2)), ("0.2.", delta(3, 4)))
    assert (history.seq, history.position, history.tokens) == (7, 1, 4)


def test_records_are_in_the_order_of_numbers_not_of_texts() -> None:
    marks = ["0.10.", "1.0.p", "0.9.", "10.0.q", "2.0.r"]
    history = History.parse([], [beside(i, mark, delta(i)) for i, mark in enumerate(marks, 1)], 0, 0)
    assert [mark for mark, _ in history.records] == ["0.9.", "0.10.", "1.0.p", "2.0.r", "10.0.q"]


def test_where_nothing_came_the_positions_stay() -> None:
    assert History.parse([], [], 7, 3) == History(seq=7, position=3)


def test_statuses_alone_move_the_position_on() -> None:
    assert History.parse([entry(8, STATUS)], [], 7, 3) == History(seq=8, position=3)


def test_a_history_and_what_came_since_are_one(store: InvocationStore, redis: Any) -> None:
    version = make_version()
    start_instance(redis, version)
    store.admit(make_invocation(version, "i"))
    seq = store.begin("i", 1, "n1", "x1")

    def append(number: int, *, record: int) -> None:
        chunk = Chunk.of({"delta": delta(2 * number)}, f"0.{2 * number}.")
        beside = Record.of(f"0.{2 * number + 1}.", delta(2 * number + 1))
        assert store.append_each([Append("i", 1, seq + number, [chunk], record, [beside])]) == [True]

    append(0, record=1)
    known = store.history("i")
    append(1, record=2)
    since = store.history("i", known)
    assert (known.tokens, since.tokens) == (2, 2)
    assert known + since == store.history("i")
    assert known + store.history("i", known) == known + since
    assert NOTHING + known == known
    assert store.history("i", known + since) == History(seq=since.seq, position=since.position)
    assert [body["tokens"][0] for _, body in (known + since).records] == [0, 1, 2, 3]
