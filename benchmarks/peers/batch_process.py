"""The process in which transformers' own batching runs, its model loaded once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from benchmarks.assets import CHILDREN
from benchmarks.peers import Batch
from benchmarks.processes import Conversation


class BatchProcess:
    """Base of the peers that generate in batches; `way` is one of those that the child knows."""

    name: str
    way: str

    def __init__(self, folder: Path, dtype: str, log: Path) -> None:
        self._process = Conversation([sys.executable, str(CHILDREN / "batches.py"), str(folder), dtype], log)

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Batch:
        """Generate exactly `new_tokens` for each prompt, greedily."""
        question = {"way": self.way, "prompts": list(prompts), "new_tokens": new_tokens}
        answer = self._process.ask(question)
        wanted = len(prompts) * new_tokens
        if answer["tokens"] != wanted:
            raise RuntimeError(f"{self.name} made {answer['tokens']} tokens instead of {wanted}")
        return Batch(answer["tokens"], answer["seconds"])
