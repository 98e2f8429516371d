"""`python -m benchmarks.warm`: what the platform adds to its engine, and its throughput against transformers'.

Latency: waves of 1, 8 and 32 streams through the whole platform and, in turn, to the same engine called in a process
of its own; never both at once. Throughput: eight streams at once, platform, engine, `generate_batch` and a static
left-padded batch, each with the weights in the same dtype, in turn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console

from benchmarks.assets import hugging_face_folder
from benchmarks.full import full
from benchmarks.peers import BatchPeer
from benchmarks.peers.generate_batch import GenerateBatch
from benchmarks.peers.static_batch import StaticBatch
from benchmarks.processes import end_on_sigterm
from benchmarks.prompts import conversations
from benchmarks.reference import Reference
from benchmarks.report import console, publish
from benchmarks.rounds import interleave
from benchmarks.served import DENSE_MODEL, Import, Served
from benchmarks.sse import Stream
from benchmarks.streams import PlatformStreams, tokens_per_second
from benchmarks.warm.report import BATCH, ENGINE, PLATFORM, Latency, Throughput, report

STREAMS = (1, 8, 32)
WAVES = {1: 10, 8: 3, 32: 1}
"""Waves of each number of streams in one round: more of the small ones, for the sake of the 99th percentile."""

LATENCY_TOKENS = 24
THROUGHPUT_TOKENS = 64
DTYPES = ("bfloat16", "float32")
KEEP_ALIVE_SECONDS = 3600.0
MODELS = {"transformers": DENSE_MODEL, "llamacpp": Import()}
"""By engine: the same weights, dequantised or as the GGUF file has them."""


class Generator(Protocol):
    """The platform or the engine by itself."""

    def streams(self, conversations: Sequence[Sequence[Mapping[str, str]]], max_tokens: int) -> list[Stream]:
        """Generate exactly `max_tokens` for each conversation, all at once."""


class Bench:
    """One run: the platform is up; whatever else is measured comes and goes part by part."""

    def __init__(self, served: Served, engine: str, logs: Path, waves: Mapping[int, int], screen: Console) -> None:
        self._served = served
        self._engine = engine
        self._logs = logs
        self._waves_of = waves
        self._screen = screen

    def latencies(self, rounds: int) -> list[Latency]:
        """Measure waves of each size through the platform and the engine."""
        with self._pair("latency", {}) as (platform, engine):
            ways: dict[str, Generator] = {PLATFORM: platform, ENGINE: engine}
            for generator in ways.values():
                generator.streams(conversations(0, max(STREAMS)), LATENCY_TOKENS)  # pays for what is done once
            keys = [(way, count) for count in STREAMS for way in ways]
            cases = {_label(way, count): partial(self._waves, ways[way], count) for way, count in keys}
            results = interleave(cases, rounds, self._screen)
        return [Latency.of(way, count, chain(*results[_label(way, count)])) for way, count in keys]

    def throughputs(self, dtype: str, rounds: int) -> list[Throughput]:
        """Measure batches of eight through the platform, the engine and transformers, all in `dtype`."""
        with self._pair(f"throughput-{dtype}", {"dtype": dtype}) as (platform, engine), ExitStack() as stack:
            prompts = engine.tokens(conversations(0, BATCH))
            folder, log = hugging_face_folder(), self._logs / "batches.log"
            peers = [stack.enter_context(peer(folder, dtype, log)) for peer in (GenerateBatch, StaticBatch)]
            cases: dict[str, Callable[[], float]] = {PLATFORM: partial(_rate, platform), ENGINE: partial(_rate, engine)}
            cases |= {peer.name: partial(_peer_rate, peer, prompts) for peer in peers}
            for case in cases.values():
                case()  # pays for what is done once
            results = interleave(cases, rounds, self._screen)
        return [Throughput(way, dtype, tuple(values)) for way, values in results.items()]

    @contextmanager
    def _pair(self, function: str, options: Mapping[str, Any]) -> Iterator[tuple[PlatformStreams, Reference]]:
        """Give the platform with a function deployed, and the engine by itself, with the same options."""
        of = {"engine": self._engine, "concurrency": max(STREAMS), "keep_alive": KEEP_ALIVE_SECONDS}
        self._served.deploy(function, **of, options=dict(options))
        with Reference(self._served.checkpoints, self._logs / f"{function}.log", options, self._engine) as reference:
            yield PlatformStreams(self._served.target(), function), reference
        self._served.delete(function)

    def _waves(self, generator: Generator, count: int) -> list[Stream]:
        waves = (conversations(number * count, count) for number in range(self._waves_of[count]))
        return [stream for wave in waves for stream in generator.streams(wave, LATENCY_TOKENS)]


def _label(way: str, count: int) -> str:
    return f"{way}, {count} streams"


def _rate(generator: Generator) -> float:
    return tokens_per_second(generator.streams(conversations(0, BATCH), THROUGHPUT_TOKENS))


def _peer_rate(peer: BatchPeer, prompts: Sequence[Sequence[int]]) -> float:
    return peer.generate(prompts, THROUGHPUT_TOKENS).tokens_per_second


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of the latency part.")
@click.option("--batch-rounds", default=2, show_default=True, type=click.IntRange(1), help="Of the throughput part.")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), default=DTYPES, show_default=True)
@click.option(
    "--engine",
    default="transformers",
    show_default=True,
    type=click.Choice(list(MODELS)),
    help="llamacpp: the latency part only; its throughput is in benchmarks.engines.",
)
@full("Ten rounds of latency, five of throughput.", rounds=10, batch_rounds=5)
@click.option("--quick", is_flag=True, help="One short round of one dtype: a smoke test.")
def main(rounds: int, batch_rounds: int, dtypes: tuple[str, ...], engine: str, quick: bool) -> None:
    """Measure a warm function; print a table and write benchmarks/results/bench-warm.json (bench-warm-ENGINE.json)."""
    end_on_sigterm()
    screen = console()
    waves = WAVES
    if quick:
        rounds, batch_rounds, dtypes, waves = 1, 1, dtypes[:1], dict.fromkeys(STREAMS, 1)
    if engine != "transformers":
        dtypes = ()
    with tempfile.TemporaryDirectory(prefix="quickthaw-bench-logs-") as logs, Served((MODELS[engine],)) as served:
        bench = Bench(served, engine, Path(logs), waves, screen)
        latencies = bench.latencies(rounds)
        throughputs = [one for dtype in dtypes for one in bench.throughputs(dtype, batch_rounds)]
    settings = {"rounds": rounds, "batch_rounds": batch_rounds, "dtypes": dtypes, "engine": engine, "quick": quick}
    found = report(latencies, throughputs, settings)
    publish(found if dtypes else replace(found, name=f"warm-{engine}"), screen)


if __name__ == "__main__":
    main()
