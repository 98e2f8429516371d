"""What is measured of one subject in one round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.assets import question
from benchmarks.engines.asking import Asker
from benchmarks.prompts import sized
from benchmarks.sse import Stream
from benchmarks.stats import median
from benchmarks.streams import tokens_per_second

PROMPT_TOKENS = 32
ANSWER_TOKENS = 64
CHAT_TOKENS = 1000
TURN_TOKENS = 16
LOADED_STREAMS = 8
IDLE_SECONDS = 3.0
SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: lengths of prompts, and numbers of streams at once."""

    prefills: Sequence[int] = (32, 512, 2048)
    streams: Sequence[int] = (1, 4, 8)


@dataclass(frozen=True, slots=True)
class Figures:
    """One round of one subject; what was not measured is missing."""

    prefill_seconds: dict[int, float] = field(default_factory=dict)  # by tokens of the prompt
    rates: dict[int, float] = field(default_factory=dict)  # tokens/s of all streams together, by their number
    loaded_first_seconds: float | None = None  # median over LOADED_STREAMS that came at once
    second_turn: float | None = None  # first token of a chat's second turn over that of its first
    idle_cores: float | None = None  # processor seconds a second of the instances while nobody asks


def over_http(asker: Asker, plan: Plan, seeds: Iterator[int]) -> Figures:
    """Measure a server; each prompt begins with a seed's own words, so that nobody has read it before."""
    asker.ask([sized(PROMPT_TOKENS, next(seeds)) for _ in range(max(plan.streams))], 4)  # pays for what is done once
    prefill = {tokens: _first(asker.ask([sized(tokens, next(seeds))], 1)[0]) for tokens in plan.prefills}
    waves = {
        count: asker.ask([sized(PROMPT_TOKENS, next(seeds)) for _ in range(count)], ANSWER_TOKENS)
        for count in plan.streams
    }
    rates = {count: tokens_per_second(answers) for count, answers in waves.items()}
    loaded = [answer.first_token_seconds for answer in waves.get(LOADED_STREAMS, ()) if answer.arrivals]
    return Figures(prefill, rates, median(loaded) if loaded else None, _second_turn(asker, next(seeds)))


def idle_cores(cpu_seconds: Callable[[], float]) -> float:
    """Return how much of a core is used while nobody asks, once what spins after its work has gone to sleep."""
    time.sleep(SETTLE_SECONDS)
    before = cpu_seconds()
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds() - before) / IDLE_SECONDS


def _second_turn(asker: Asker, seed: int) -> float:
    chat = sized(CHAT_TOKENS, seed)
    first = asker.ask([chat], TURN_TOKENS)[0]
    chat += [{"role": "assistant", "content": first.text}, *question("And then?")]
    return _first(asker.ask([chat], 1)[0]) / _first(first)


def _first(answer: Stream) -> float:
    """Return the seconds to the first text; a token that is no text by itself came when its answer ended."""
    return answer.first_token_seconds if answer.arrivals else answer.total_seconds
