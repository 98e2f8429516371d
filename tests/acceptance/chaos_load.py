"""The load of the chaos test: calls whose outputs are known before they are made, and clients that read every event."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quickthaw import Client, Event, EventType, FunctionSpec, Invocation
from quickthaw.retry import Backoff
from tests.integration.worker.echo_checkpoint import MODEL

CLIENT_PATIENCE_SECONDS = 240.0
"""Longer than any limit of the functions below: a stream that lasts longer hangs."""

PATIENT = Backoff(attempts=100)
"""For a gateway that is killed again and again before it has come up, as on a busy machine."""

LIMITS = {"start": 120, "first_token": 60, "between_tokens": 30, "total": 200}
SHORTEST_TOKENS, LONGEST_TOKENS = 1, 200

ASKS_TWICE = """
def handle(model, plan: str, text: str):
    thought = "".join(str(delta) for delta in model.complete(plan))
    yield {"thought": thought}
    yield from model.complete(text)
"""

FUNCTIONS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"options": {"token_delay": "20ms"}},
    "choices": {"options": {"token_delay": "30ms"}},
    "twice": {
        "options": {"token_delay": "10ms"},
        "source": {"function.py": ASKS_TWICE},
        "handler": {"file": "function.py", "object": "handle"},
    },
    "once": {"options": {"token_delay": "5ms"}, "resumable": False},
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a call puts out, however its text is cut into chunks."""

    texts: tuple[str, ...]  # of each choice
    values: tuple[Any, ...] = ()

    @classmethod
    def of(cls, events: Iterable[Event]) -> Said:
        """Read the chunks among the events."""
        texts: dict[int, str] = {}
        values = []
        for event in events:
            if event.type is EventType.CHUNK and "delta" in event.data:
                delta = event.data["delta"]
                choice = delta.get("choice", 0)
                texts[choice] = texts.get(choice, "") + delta["text"]
            elif event.type is EventType.CHUNK:
                values.append(event.data["value"])
        return cls(tuple(texts[choice] for choice in sorted(texts)), tuple(values))


@dataclass(frozen=True, slots=True)
class Call:
    """A call, and what it must put out."""

    function: str
    input: Mapping[str, Any]
    sampling: Mapping[str, Any]
    expected: Said

    @classmethod
    def draw(cls, seed: str) -> Call:
        """Return the call that belongs to this seed."""
        draw = random.Random(seed)
        function, text = draw.choice(tuple(FUNCTIONS)), _text(draw)
        sampling = {"max_tokens": 2 * LONGEST_TOKENS}
        if function == "twice":
            plan, text = text[: len(text) // 2 + 1], text[len(text) // 2 :]
            return cls(function, {"plan": plan, "text": text}, sampling, Said((text,), ({"thought": plan},)))
        if function == "choices":
            return cls(function, {"prompt": text}, sampling | {"n": 2}, Said((text, text)))
        return cls(function, {"prompt": text}, sampling, Said((text,)))


def _text(draw: random.Random) -> str:
    """Return a text of mixed length; each length from shortest to longest is as likely as any other."""
    tokens = draw.randint(SHORTEST_TOKENS, LONGEST_TOKENS)
    words = " ".join(f"{draw.choice(('fox', 'hen', 'den'))}{number}" for number in range(tokens // 4 + 1))
    return words[:tokens]


@dataclass(slots=True)
class Outcome:
    """A call as its client saw it."""

    number: int
    call: Call
    began: float = field(default_factory=time.time)  # Unix seconds, as of the kills
    seconds: float | None = None  # None: it still runs
    invocation: Invocation | None = None
    events: list[Event] = field(default_factory=list)
    raised: Exception | None = None  # what the client raised instead of reading the log to its end

    def make(self, client: Client) -> None:
        """Make the call and read its log to the end."""
        try:
            self.invocation = client.spawn(self.call.function, self.call.input, sampling=self.call.sampling)
            for event in client.events(self.invocation.id, timeout=CLIENT_PATIENCE_SECONDS):
                self.events.append(event)
        except Exception as error:  # noqa: BLE001 - kept for the verdict
            self.raised = error
        self.seconds = time.time() - self.began


class Load:
    """Threads that call one function after another until there were enough calls and enough time has passed."""

    def __init__(self, client: Client, *, seed: int, callers: int, calls: int, seconds: float) -> None:
        """At least so many calls in at least so many seconds, so many at a time."""
        self._client = client
        self._seed = seed
        self._calls = calls
        self._until = time.monotonic() + seconds
        self._numbers = itertools.count()
        self.outcomes: list[Outcome] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(callers)]

    def start(self) -> None:
        """Begin to call."""
        for thread in self._threads:
            thread.start()

    def is_enough(self) -> bool:
        """Whether no further call is made."""
        return time.monotonic() >= self._until and len(self.outcomes) >= self._calls

    def wait(self) -> None:
        """Let the calls end that were made; one that hangs is left behind, without `seconds`."""
        patience = time.monotonic() + CLIENT_PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, patience - time.monotonic()))

    @property
    def open(self) -> int:
        """How many calls have not ended."""
        return sum(outcome.seconds is None for outcome in self.outcomes)

    def _run(self) -> None:
        while not self.is_enough():
            number = next(self._numbers)
            outcome = Outcome(number, Call.draw(f"{self._seed}/{number}"))
            self.outcomes.append(outcome)
            outcome.make(self._client)


def deploy(client: Client) -> None:
    """Deploy the functions that the calls are of."""
    for name, fields in FUNCTIONS.items():
        common = {"model": MODEL, "engine": "echo", "memory": "16MiB", "keep_alive": "5s", "limits": LIMITS}
        spread = {"spread": True, "max_instances": 3, "concurrency": 8}
        client.deploy(FunctionSpec(name=name, **common, **spread, **fields))
