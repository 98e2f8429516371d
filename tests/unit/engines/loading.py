"""Weights that arrive when a test lets them; until then their bytes are NaN."""

from __future__ import annotations

import os
from dataclasses import dataclass

from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.contracts import Checkpoint


@dataclass
class Loading:
    """A checkpoint whose weights lie in memory that `let` fills."""

    checkpoint: Checkpoint
    contents: list[bytes]
    memory: list[int]
    writer: ArrivalWriter
    marks: list[int]

    def let(self, file: int, end: int) -> None:
        """Have the first `end` bytes of a file arrive."""
        begin = self.marks[file]
        os.pwrite(self.memory[file], self.contents[file][begin:end], begin)
        self.marks[file] = max(begin, end)
        self.writer.advance(file, self.marks[file])

    def let_all(self, step: int = 1 << 30) -> None:
        """Have everything arrive, a step of each file at a time."""
        for end in range(0, max(map(len, self.contents)) + step, step):
            for file, content in enumerate(self.contents):
                self.let(file, min(end, len(content)))
        self.writer.complete()
