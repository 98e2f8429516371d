"""Peer: `transformers serve`, started on demand with its model named on the command line, so that it loads at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.assets import question
from benchmarks.client import Target
from benchmarks.peers.on_demand import first_token_seconds
from benchmarks.processes import Child
from quickthaw_platform.commands.ports import claim_port


@dataclass
class TransformersServe:
    """`dtype` float32 gives it its fastest first token on a CPU without native bf16."""

    folder: Path
    log: Path
    dtype: str = "float32"
    name: str = "transformers serve"

    def first_token_seconds(self) -> float:
        """Start, ask, end."""
        port = str(claim_port("127.0.0.1", 0))
        program = str(Path(sys.executable).with_name("transformers"))
        options = ["--device", "cpu", "--dtype", self.dtype, "--host", "127.0.0.1", "--port", port]
        body = {"model": str(self.folder), "messages": question(), "stream": True, "max_tokens": 4, "temperature": 0}
        server = Child([program, "serve", str(self.folder), *options], self.log)
        return first_token_seconds(server, Target(f"http://127.0.0.1:{port}"), body)
