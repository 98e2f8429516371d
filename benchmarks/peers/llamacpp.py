"""Peer: llama.cpp's server (from `xllamacpp`) with a GGUF file: started on demand, or woken from its sleep."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.assets import CHILDREN, question
from benchmarks.client import Target, stream, stream_when_up
from benchmarks.peers.on_demand import PATIENCE_SECONDS, first_token_seconds
from benchmarks.processes import Child
from quickthaw_platform.commands.ports import claim_port

Settings = Mapping[str, bool | int]

BARE_START: Settings = {"fit_params": False, "warmup": False}
"""Leaves out what its defaults spend on a start: fitting to the memory, and the warm-up run."""

SLEEPY: Settings = {"sleep_idle_seconds": 1}
POLL_SECONDS = 0.05
_BODY = {"messages": question(), "stream": True, "max_tokens": 4, "temperature": 0}


def server(gguf: Path, port: int, log: Path, settings: Settings) -> Child:
    """Return the server as a process to be started, with a thread for each core."""
    threads = str(os.cpu_count() or 1)
    script = str(CHILDREN / "llama_server.py")
    return Child([sys.executable, script, str(gguf), str(port), threads, json.dumps(dict(settings))], log)


@dataclass
class LlamaCpp:
    """Started for the question; `tuned` with BARE_START."""

    gguf: Path
    log: Path
    tuned: bool = False

    @property
    def name(self) -> str:
        """Name in the tables."""
        return "llama.cpp, no fit, no warm-up" if self.tuned else "llama.cpp"

    def first_token_seconds(self) -> float:
        """Start, ask, end."""
        port = claim_port("127.0.0.1", 0)
        started = server(self.gguf, port, self.log, BARE_START if self.tuned else {})
        return first_token_seconds(started, Target(f"http://127.0.0.1:{port}"), _BODY)


@dataclass
class AsleepLlamaCpp:
    """It runs, and has given its model's memory back because nobody asked for a second: the question wakes it."""

    gguf: Path
    log: Path
    name: str = "llama.cpp, asleep"

    def first_token_seconds(self) -> float:
        """Start, ask once, wait until it sleeps, ask again; end."""
        port = claim_port("127.0.0.1", 0)
        target = Target(f"http://127.0.0.1:{port}")
        with server(self.gguf, port, self.log, SLEEPY) as started:
            asyncio.run(stream_when_up(target, _BODY, PATIENCE_SECONDS, started.check))
            _wait_until_asleep(target.url, started)
            return asyncio.run(stream(target, _BODY)).first_token_seconds


def _wait_until_asleep(url: str, started: Child) -> None:
    """Ask for what does not wake it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not httpx.get(f"{url}/props", timeout=30).json()["is_sleeping"]:
        started.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} does not sleep after {PATIENCE_SECONDS} s")
        time.sleep(POLL_SECONDS)
