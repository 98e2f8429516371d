"""Peer: llama.cpp's server (from `xllamacpp`), started on demand with the GGUF file (4-bit weights)."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.assets import CHILDREN, question
from benchmarks.client import Target
from benchmarks.peers.on_demand import first_token_seconds
from benchmarks.processes import Child
from quickthaw_platform.commands.ports import claim_port


@dataclass
class LlamaCpp:
    """`tuned` leaves out what its defaults spend on a start: fitting to the memory, and the warm-up run."""

    gguf: Path
    log: Path
    tuned: bool = False

    @property
    def name(self) -> str:
        """Name in the tables."""
        return "llama.cpp, no fit, no warm-up" if self.tuned else "llama.cpp"

    def first_token_seconds(self) -> float:
        """Start, ask, end."""
        port = str(claim_port("127.0.0.1", 0))
        threads = str(os.cpu_count() or 1)
        command = [
            sys.executable,
            str(CHILDREN / "llama_server.py"),
            str(self.gguf),
            port,
            threads,
            str(int(self.tuned)),
        ]
        body = {"messages": question(), "stream": True, "max_tokens": 4, "temperature": 0}
        return first_token_seconds(Child(command, self.log), Target(f"http://127.0.0.1:{port}"), body)
