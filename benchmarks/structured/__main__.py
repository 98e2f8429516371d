"""`python -m benchmarks.structured`: answers held to JSON schemas, through the platform and by llama.cpp's server.

First every schema once, eight streams at a time: is each answer that ended by itself valid? Then, in interleaved
rounds, tokens a second with a schema and without. Last the first token without a schema, with one that is known, and
with one never seen before. Both servers stay up: the one that is not asked uses no processor time.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from benchmarks.assets import gguf_file, question
from benchmarks.client import Target, stream_when_up
from benchmarks.peers.llamacpp import server
from benchmarks.peers.on_demand import PATIENCE_SECONDS
from benchmarks.processes import end_on_sigterm
from benchmarks.report import console, publish
from benchmarks.rounds import interleave
from benchmarks.served import Import, Served
from benchmarks.structured.asking import Asker
from benchmarks.structured.keywords import generated
from benchmarks.structured.report import OURS, PEER, Speed, speed, validity
from benchmarks.structured.tools import HAND_MADE, endless, fresh, hand_made
from quickthaw_platform.commands.ports import claim_port

FUNCTION = "chat"
STREAMS = (1, 8)
RATE_TOKENS = 64
KEEP_ALIVE_SECONDS = 3600.0
CONTEXT_TOKENS = 8192
LOCALHOST = "127.0.0.1"
RATE_SCHEMAS = ("extract_person", "place_order", "create_event", "search")
"""Of tools; a round takes the next one."""

FREE, KNOWN, NEW = KINDS = ("no schema", "a known schema", "a new schema")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked and measured."""

    schemas: int = 500
    rounds: int = 6
    first_tokens: int = 20
    max_tokens: int = 256


FULL = Plan(schemas=3000, rounds=20, first_tokens=60, max_tokens=512)
QUICK = Plan(schemas=24, rounds=1, first_tokens=2)


@contextmanager
def llama_server(log: Path) -> Iterator[Asker]:
    """Run llama.cpp's server with a slot for each stream."""
    port = claim_port(LOCALHOST, 0)
    settings = {"n_parallel": max(STREAMS), "kv_unified": True, "n_ctx": CONTEXT_TOKENS}
    asker = Asker(Target(f"http://{LOCALHOST}:{port}"), "any")
    hello = {"model": "any", "messages": question(), "max_tokens": 1, "stream": True}
    with server(gguf_file(), port, log, settings) as process:
        asyncio.run(stream_when_up(asker.target, hello, PATIENCE_SECONDS, process.check))
        yield asker


class Speeds:
    """Measures first tokens and tokens a second of several servers, all in turn."""

    def __init__(self, askers: Mapping[str, Asker], screen: Console) -> None:
        self._askers = askers
        self._screen = screen
        self._seeds = itertools.count()
        self._schemas = itertools.cycle(endless(HAND_MADE[name]) for name in RATE_SCHEMAS)
        self._fresh = itertools.count()
        self._pairs = itertools.count()

    def measure(self, plan: Plan) -> dict[str, Speed]:
        """Return what was measured of each server."""
        rates = interleave(
            {_label(way, n): partial(self._pair, asker, n) for way, asker in self._askers.items() for n in STREAMS},
            plan.rounds,
            self._screen,
        )
        firsts = interleave(
            {
                _label(way, kind): partial(self._first, asker, kind)
                for way, asker in self._askers.items()
                for kind in KINDS
            },
            plan.first_tokens,
            self._screen,
        )
        return {
            way: Speed(
                {n: [held for held, _ in rates[_label(way, n)]] for n in STREAMS},
                {n: [free for _, free in rates[_label(way, n)]] for n in STREAMS},
                *(firsts[_label(way, kind)] for kind in KINDS),
            )
            for way in self._askers
        }

    def _pair(self, asker: Asker, streams: int) -> tuple[float, float]:
        """Return tokens/s with a schema and without, one right after the other, in either order by turns."""
        schema = next(self._schemas)
        asker.rate([next(self._seeds)], 2, schema)  # makes the grammar
        kinds = [schema, None] if next(self._pairs) % 2 else [None, schema]
        rates = [asker.rate([next(self._seeds) for _ in range(streams)], RATE_TOKENS, kind) for kind in kinds]
        held, free = rates if kinds[0] else reversed(rates)
        return held, free

    def _first(self, asker: Asker, kind: str) -> float:
        schema = {FREE: None, KNOWN: HAND_MADE["place_order"], NEW: fresh(next(self._fresh))}[kind]
        if kind == KNOWN:
            asker.first_ms(next(self._seeds), schema)
        return asker.first_ms(next(self._seeds), schema)


def _label(way: str, what: object) -> str:
    return f"{way}, {what}"


@click.command()
@click.option("--seed", default=1, show_default=True, help="Of the generated schemas.")
@click.option("--full", is_flag=True, help="Six times the schemas, three times the rounds: most of an hour.")
@click.option("--quick", is_flag=True, help="A few schemas and one round: a smoke test.")
@click.option("--rounds", type=click.IntRange(1), help="Interleaved rounds of tokens a second, in place of the plan's.")
def main(seed: int, full: bool, quick: bool, rounds: int | None) -> None:
    """Hold answers to schemas; print two tables and write benchmarks/results/bench-structured(-speed).json."""
    end_on_sigterm()
    screen = console()
    plan = FULL if full else QUICK if quick else Plan()
    plan = plan if rounds is None else replace(plan, rounds=rounds)
    cases = [*generated(plan.schemas, seed), *hand_made()]
    with (
        tempfile.TemporaryDirectory(prefix="quickthaw-bench-logs-") as logs,
        Served((Import(),)) as served,
        llama_server(Path(logs) / "llama.log") as peer,
    ):
        served.deploy(FUNCTION, concurrency=max(STREAMS), keep_alive=KEEP_ALIVE_SECONDS)
        askers = {OURS: Asker(served.target(), FUNCTION), PEER: peer}
        answers = {way: asker.answers(cases, max(STREAMS), plan.max_tokens) for way, asker in askers.items()}
        named = askers[OURS].refuses_by_name()
        speeds = Speeds(askers, screen).measure(plan)
    settings = {"seed": seed, "full": full, "quick": quick, "rounds": plan.rounds, "max_tokens": plan.max_tokens}
    publish(validity(answers, named, settings), screen)
    publish(speed(speeds, settings), screen)
    for answer in answers[OURS]:
        if answer.verdict in ("invalid", "refused", "broken"):
            screen.print(f"{answer.verdict}: {answer.case.schema}\n    {answer.said[:500]}", markup=False)


if __name__ == "__main__":
    main()
