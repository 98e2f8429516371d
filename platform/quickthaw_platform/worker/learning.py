"""What the node's starts and calls teach the router: gathered in the loop's thread, written with the heartbeat."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TypeVar

from redis import Redis

from quickthaw_platform.contracts import Way
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.metering import metrics
from quickthaw_platform.router.accuracy import AccuracyLog, PredictedStart
from quickthaw_platform.router.learnt import SERVICE, LearntStore, init_field

_T = TypeVar("_T")

MIN_INIT_SECONDS = 0.001
"""What a start takes at least beyond its load, where both went on at once."""

MAX_KEPT = 10_000
"""While Redis is out, so many of the latest measurements wait."""


@dataclass(frozen=True, slots=True)
class FinishedStart:
    """A start that has proved itself."""

    function: str
    instance: str
    way: Way
    seconds: float  # from the reservation until it could serve, its weights there; the first prefill is not in it
    load_seconds: float  # of these, until its weights were there, loads before its own included
    predicted_seconds: float | None  # by the decision that reserved it


class Learning:
    """`started` and `served` from any thread, without I/O; `flush` from one."""

    def __init__(self, redis: Redis, node: str) -> None:
        self._learnt = LearntStore(redis)
        self._accuracy = AccuracyLog(redis)
        self._node = node
        self._samples: deque[tuple[str, str, float]] = deque(maxlen=MAX_KEPT)  # function, field, seconds
        self._starts: deque[PredictedStart] = deque(maxlen=MAX_KEPT)
        self._moves: deque[tuple[int, float]] = deque(maxlen=MAX_KEPT)

    def started(self, start: FinishedStart) -> None:
        """Take in how a start went."""
        init = max(MIN_INIT_SECONDS, start.seconds - start.load_seconds)
        self._samples.append((start.function, init_field(start.way), init))
        if start.predicted_seconds is not None and start.seconds > 0:
            row = PredictedStart(
                start.function, self._node, start.instance, start.way, start.predicted_seconds, start.seconds
            )
            metrics.start_estimate_error.labels(start.way.value).observe(abs(row.error))
            self._starts.append(row)

    def moved(self, tokens: int, seconds: float) -> None:
        """Take in how long it took to take an invocation of so many tokens over."""
        self._moves.append((tokens, seconds))

    def served(self, function: str, seconds: float) -> None:
        """Take in how long an invocation held its slot."""
        self._samples.append((function, SERVICE, seconds))

    def flush(self) -> None:
        """Write what was gathered. Unavailable when Redis is: then it waits for the next time."""
        samples, starts = _drain(self._samples), _drain(self._starts)
        by_function: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
        for function, name, seconds in samples:
            by_function[function].append((name, seconds))
        try:
            for function in list(by_function):
                self._learnt.note(function, by_function[function])
                del by_function[function]
            while self._moves:
                self._learnt.note_move(*self._moves[0])
                self._moves.popleft()
            if starts:
                self._accuracy.append(starts)
        except Unavailable:
            self._samples.extendleft(reversed([sample for sample in samples if sample[0] in by_function]))
            self._starts.extendleft(reversed(starts))
            raise


def _drain(queue: deque[_T]) -> list[_T]:
    return [queue.popleft() for _ in range(len(queue))]
