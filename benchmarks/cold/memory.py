"""How much memory an instance has for itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.load import wave
from benchmarks.prompts import sized
from benchmarks.served import Served

INSTANCES = 2


def private_bytes(pid: int) -> int:
    """Return what a process shares with nobody, as the kernel adds it up."""
    return private(Path(f"/proc/{pid}/smaps_rollup").read_text())


def private(rollup: str) -> int:
    """Return the sum of the private pages in the text of a `smaps_rollup` file. Pure."""
    lines = (line.split() for line in rollup.splitlines() if line.startswith("Private_"))
    return sum(int(kibibytes) for _, kibibytes, _ in lines) * 1024


def of_second_instance(served: Served, function: str, model: str, engine: str) -> int:
    """Return the private bytes of one of two instances that have each answered a short question, its KV included."""
    served.deploy(function, model=model, engine=engine, concurrency=1, min_instances=INSTANCES, max_instances=INSTANCES)
    served.wait_until("two instances run", lambda: len(served.instances(function)) == INSTANCES)
    bodies = [
        {"model": function, "messages": sized(37, seed), "stream": True, "max_tokens": 4, "ignore_eos": True}
        for seed in range(INSTANCES)
    ]
    for answer in asyncio.run(wave(served.target(), bodies)):
        if not answer.complete:
            raise RuntimeError(f"the platform's answer is not whole: {answer.error}")
    found = private_bytes(served.instance_processes()[-1].pid)
    served.delete(function)
    return found
