"""What is measured of servers in one round: each thing of all of them in turn, then the next thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import psutil

from benchmarks.assets import question
from benchmarks.engines.asking import Asker
from benchmarks.prompts import sized
from benchmarks.rounds import SETTLE_SECONDS, order
from benchmarks.served import cpu_seconds
from benchmarks.sse import Stream
from benchmarks.stats import median
from benchmarks.streams import tokens_per_second

PROMPT_TOKENS = 32
ANSWER_TOKENS = 64
CHAT_TOKENS = 1000
TURN_TOKENS = 16
LOADED_STREAMS = 8
IDLE_SECONDS = 3.0
IDLE_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: lengths of prompts, numbers of streams at once, and waves of each of these numbers."""

    prefills: Sequence[int] = (32, 512, 2048)
    streams: Sequence[int] = (1, 4, 8)
    waves: int = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """One round of one subject; what was not measured is missing."""

    prefill_seconds: dict[int, float] = field(default_factory=dict)  # by tokens of the prompt
    rates: dict[int, float] = field(default_factory=dict)  # tokens/s of all streams together, by their number
    loaded_first_seconds: float | None = None  # median over waves of LOADED_STREAMS that came at once
    second_turn: float | None = None  # first token of a chat's second turn over that of its first
    idle_cores: float | None = None  # processor seconds a second of the subject's processes while nobody asks


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs. `processes` are those that compute, or wait to, once it has answered."""

    asker: Asker
    processes: Callable[[], Sequence[psutil.Process]]


@dataclass(slots=True)
class _Notes:
    """What was seen of one server so far."""

    prefill_seconds: dict[int, float] = field(default_factory=dict)
    waves: dict[int, list[list[Stream]]] = field(default_factory=dict)  # by the number of streams
    second_turn: float | None = None

    def figures(self, idle_cores: float) -> Figures:
        rates = {count: median([tokens_per_second(wave) for wave in waves]) for count, waves in self.waves.items()}
        loaded = [answer for wave in self.waves.get(LOADED_STREAMS, ()) for answer in wave if answer.arrivals]
        first = median([answer.first_token_seconds for answer in loaded]) if loaded else None
        return Figures(self.prefill_seconds, rates, first, self.second_turn, idle_cores)


_Measure = Callable[[Asker, Iterator[int], _Notes], None]


def in_turn(servers: Mapping[str, Running], plan: Plan, seeds: Iterator[int], number: int = 0) -> dict[str, Figures]:
    """Measure servers side by side in round `number`; all run all the while, and one at a time is asked.

    So a minute in which the machine is slower falls on all of them. Each prompt begins with a seed's own words, so that
    nobody has read it before.
    """
    notes = {name: _Notes() for name in servers}
    for step, measure in enumerate(_measures(plan)):
        for name in order(list(servers), number + step):
            time.sleep(SETTLE_SECONDS)
            measure(servers[name].asker, seeds, notes[name])
    idle = _idle_cores(servers)
    return {name: notes[name].figures(idle[name]) for name in servers}


def _measures(plan: Plan) -> Iterator[_Measure]:
    yield partial(_warm_up, max(plan.streams))
    for tokens in plan.prefills:
        yield partial(_prefill, tokens)
    for _ in range(plan.waves):
        for count in plan.streams:
            yield partial(_wave, count)
    yield _second_turn


def _warm_up(count: int, asker: Asker, seeds: Iterator[int], _: _Notes) -> None:
    """Have it pay for what is done once."""
    asker.ask([sized(PROMPT_TOKENS, next(seeds)) for _ in range(count)], 4)


def _prefill(tokens: int, asker: Asker, seeds: Iterator[int], notes: _Notes) -> None:
    notes.prefill_seconds[tokens] = _first(asker.ask([sized(tokens, next(seeds))], 1)[0])


def _wave(count: int, asker: Asker, seeds: Iterator[int], notes: _Notes) -> None:
    answers = asker.ask([sized(PROMPT_TOKENS, next(seeds)) for _ in range(count)], ANSWER_TOKENS)
    notes.waves.setdefault(count, []).append(answers)


def _second_turn(asker: Asker, seeds: Iterator[int], notes: _Notes) -> None:
    chat = sized(CHAT_TOKENS, next(seeds))
    first = asker.ask([chat], TURN_TOKENS)[0]
    chat += [{"role": "assistant", "content": first.text}, *question("And then?")]
    notes.second_turn = _first(asker.ask([chat], 1)[0]) / _first(first)


def _idle_cores(servers: Mapping[str, Running]) -> dict[str, float]:
    """Return how much of a core each uses while nobody asks, once what spins after its work has gone to sleep."""
    time.sleep(IDLE_AFTER_SECONDS)
    processes = {name: server.processes() for name, server in servers.items()}
    before = {name: sum(map(cpu_seconds, those)) for name, those in processes.items()}
    time.sleep(IDLE_SECONDS)
    return {name: (sum(map(cpu_seconds, those)) - before[name]) / IDLE_SECONDS for name, those in processes.items()}


def _first(answer: Stream) -> float:
    """Return the seconds to the first text; a token that is no text by itself came when its answer ended."""
    return answer.first_token_seconds if answer.arrivals else answer.total_seconds
