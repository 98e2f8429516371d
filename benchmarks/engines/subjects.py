"""Who is measured: each runs by itself while the others are gone or idle."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from benchmarks.client import Target, stream_when_up
from benchmarks.engines.asking import Asker
from benchmarks.engines.measures import ANSWER_TOKENS, PROMPT_TOKENS, Figures, Plan, idle_cores, over_http
from benchmarks.peers.batch_process import BatchProcess
from benchmarks.peers.llamacpp import server
from benchmarks.peers.on_demand import PATIENCE_SECONDS
from benchmarks.processes import Child
from benchmarks.prompts import sized
from benchmarks.served import Served, cpu_seconds
from quickthaw_platform.commands.ports import claim_port

CONTEXT_TOKENS = 8192
LOCALHOST = "127.0.0.1"
_ORDINARY_TOKENS = range(1000, 40_000)


class Subject(Protocol):
    """Somebody who makes tokens."""

    @property
    def name(self) -> str:
        """Name in the tables."""

    def measure(self, plan: Plan, seeds: Iterator[int]) -> Figures:
        """Start what does not run yet, measure it, and end that again."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A function of the running platform, deployed on one engine."""

    served: Served
    function: str
    name: str

    def measure(self, plan: Plan, seeds: Iterator[int]) -> Figures:
        """Measure it, and what its instances do while nobody asks."""
        found = over_http(Asker(self.served.target(), self.function), plan, seeds)
        instances = self.served.instance_processes()
        return replace(found, idle_cores=idle_cores(lambda: sum(map(cpu_seconds, instances))))


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """llama.cpp's server with a slot for each stream; its slots share one context, as the platform's streams do."""

    gguf: Path
    log: Path
    name: str = "llama.cpp's server"

    def measure(self, plan: Plan, seeds: Iterator[int]) -> Figures:
        """Start, measure, end."""
        port = claim_port(LOCALHOST, 0)
        slots = max(8, *plan.streams)
        settings = {"n_parallel": slots, "kv_unified": True, "n_ctx": CONTEXT_TOKENS}
        asker = Asker(Target(f"http://{LOCALHOST}:{port}"), "any")
        return _measured(server(self.gguf, port, self.log, settings), asker, plan, seeds)


@dataclass(frozen=True, slots=True)
class TransformersServer:
    """`transformers serve`; what it computes with is named as for `from_pretrained`."""

    folder: Path
    log: Path
    dtype: str
    name: str = "transformers serve"

    def measure(self, plan: Plan, seeds: Iterator[int]) -> Figures:
        """Start, measure, end."""
        port = claim_port(LOCALHOST, 0)
        program = str(Path(sys.executable).with_name("transformers"))
        options = ["--device", "cpu", "--dtype", self.dtype, "--host", LOCALHOST, "--port", str(port)]
        endless = {"generation_config": json.dumps({"do_sample": False, "eos_token_id": -1, "pad_token_id": 2})}
        asker = Asker(Target(f"http://{LOCALHOST}:{port}"), str(self.folder), endless, says_done=False)
        return _measured(Child([program, "serve", str(self.folder), *options], self.log), asker, plan, seeds)


@dataclass(frozen=True, slots=True)
class Batches:
    """transformers' own loops in a process, without a server: token ids in, whole answers out."""

    process: BatchProcess
    name: str
    streams: tuple[int, ...]

    def measure(self, plan: Plan, seeds: Iterator[int]) -> Figures:
        """Start, generate a batch of each number of streams, end."""
        with self.process:
            self.process.generate(_prompts(1, next(seeds)), 4)  # pays for what is done once
            rates = {
                count: self.process.generate(_prompts(count, next(seeds)), ANSWER_TOKENS).tokens_per_second
                for count in self.streams
                if count in plan.streams
            }
        return Figures(rates=rates)


def _prompts(count: int, seed: int) -> list[list[int]]:
    numbers = random.Random(seed)
    return [numbers.choices(_ORDINARY_TOKENS, k=PROMPT_TOKENS) for _ in range(count)]


def _measured(process: Child, asker: Asker, plan: Plan, seeds: Iterator[int]) -> Figures:
    """Measure a server that runs for that only."""
    hello = {"model": asker.model, "messages": sized(PROMPT_TOKENS, next(seeds)), "max_tokens": 1, "stream": True}
    with process:
        asyncio.run(stream_when_up(asker.target, hello, PATIENCE_SECONDS, process.check))
        return over_http(asker, plan, seeds)
