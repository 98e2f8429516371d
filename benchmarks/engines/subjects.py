"""Who is measured: servers of ours and of others, and loops without a server."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from benchmarks.client import Target, stream_when_up
from benchmarks.engines.asking import Asker
from benchmarks.engines.measures import ANSWER_TOKENS, PROMPT_TOKENS, Figures, Plan, Running
from benchmarks.peers.batch_process import BatchProcess
from benchmarks.peers.llamacpp import server
from benchmarks.peers.on_demand import PATIENCE_SECONDS
from benchmarks.processes import Child
from benchmarks.prompts import sized
from benchmarks.served import Import, Served
from quickthaw_platform.commands.ports import claim_port

CONTEXT_TOKENS = 8192
KEEP_ALIVE_SECONDS = 3600.0
VLLM_MEMORY = "8GiB"
"""vLLM has a copy of the weights of its own, and takes a gigabyte beside them."""

LOCALHOST = "127.0.0.1"
_ORDINARY_TOKENS = range(1000, 40_000)


class Server(Protocol):
    """Somebody who answers over HTTP."""

    @property
    def name(self) -> str:
        """Name in the tables."""

    def running(self) -> AbstractContextManager[Running]:
        """Start what does not run yet; end that afterwards."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A function of a platform that runs, deployed on one engine."""

    served: Served
    function: str
    name: str

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Nothing is to be started; what computes are the platform's instances."""
        yield Running(Asker(self.served.target(), self.function), self.served.instance_processes)


@dataclass(frozen=True, slots=True)
class OtherPlatform:
    """A platform of another Python environment, up for this only, with one function on the `vllm` engine."""

    python: Path
    model: Import
    streams: int
    name: str

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Start, deploy, end."""
        with Served((self.model,), programs=self.python.parent) as served:
            served.deploy(
                "vllm",
                engine="vllm",
                model=self.model.name,
                memory=VLLM_MEMORY,
                concurrency=self.streams,
                keep_alive=KEEP_ALIVE_SECONDS,
            )
            yield Running(Asker(served.target(), "vllm"), served.instance_processes)


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """llama.cpp's server with a slot for each stream; its slots share one context, as the platform's streams do."""

    gguf: Path
    log: Path
    streams: int
    name: str = "llama.cpp's server"

    def running(self) -> AbstractContextManager[Running]:
        """Start and end it."""
        port = claim_port(LOCALHOST, 0)
        settings = {"n_parallel": max(8, self.streams), "kv_unified": True, "n_ctx": CONTEXT_TOKENS}
        return _running(server(self.gguf, port, self.log, settings), Asker(_target(port), "any"))


@dataclass(frozen=True, slots=True)
class TransformersServer:
    """`transformers serve`; what it computes with is named as for `from_pretrained`."""

    folder: Path
    log: Path
    dtype: str
    name: str = "transformers serve"

    def running(self) -> AbstractContextManager[Running]:
        """Start and end it."""
        port = claim_port(LOCALHOST, 0)
        program = str(Path(sys.executable).with_name("transformers"))
        options = ["--device", "cpu", "--dtype", self.dtype, "--host", LOCALHOST, "--port", str(port)]
        endless = {"generation_config": json.dumps({"do_sample": False, "eos_token_id": -1, "pad_token_id": 2})}
        asker = Asker(_target(port), str(self.folder), endless, says_done=False)
        return _running(Child([program, "serve", str(self.folder), *options], self.log), asker)


@dataclass(frozen=True, slots=True)
class VllmServer:
    """vLLM's own server on the CPU, of another Python environment, run eagerly: nothing here could compile for it."""

    python: Path
    folder: Path
    log: Path
    streams: int
    name: str = "vLLM's server"

    def running(self) -> AbstractContextManager[Running]:
        """Start and end it."""
        port = claim_port(LOCALHOST, 0)
        options: dict[str, Any] = {
            "model": self.folder,
            "served-model-name": "any",
            "host": LOCALHOST,
            "port": port,
            "max-model-len": CONTEXT_TOKENS,
            "max-num-seqs": self.streams,
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        command = [str(self.python), "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager", *words]
        env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
        return _running(Child(command, self.log, env), Asker(_target(port), "any"))


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


def _target(port: int) -> Target:
    return Target(f"http://{LOCALHOST}:{port}")


@contextmanager
def _running(process: Child, asker: Asker) -> Iterator[Running]:
    """Run a server from its first answer to the end of the block."""
    hello = {"model": asker.model, "messages": sized(PROMPT_TOKENS, 0), "max_tokens": 1, "stream": True}
    with process:
        asyncio.run(stream_when_up(asker.target, hello, PATIENCE_SECONDS, process.check))
        root = psutil.Process(process.popen.pid)
        yield Running(asker, lambda: [root, *root.children(recursive=True)])
