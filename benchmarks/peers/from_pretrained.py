"""Peer: a fresh Python process that does `from_pretrained` and `generate`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.assets import CHILDREN, QUESTION
from benchmarks.processes import OFFLINE


@dataclass
class FromPretrained:
    """`dtype` float32 gives it its fastest first token on a CPU without native bf16."""

    folder: Path
    log: Path
    dtype: str = "float32"
    name: str = "from_pretrained + generate"

    def first_token_seconds(self) -> float:
        """Run the script until it prints."""
        command = [sys.executable, str(CHILDREN / "first_token.py"), str(self.folder), self.dtype, QUESTION]
        with self.log.open("ab") as log:
            asked = time.monotonic()
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=os.environ | OFFLINE) as process:
                assert process.stdout is not None
                line = process.stdout.readline()
                answered = time.monotonic()
        if not line.strip():
            raise RuntimeError(f"no token came:\n{self.log.read_text(errors='replace')[-3000:]}")
        return answered - asked
