"""Two functions on the engine `vllm` of another Python environment: without calls, one ends and one sleeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from benchmarks.assets import MODEL
from benchmarks.cold.from_zero import KEEP_ALIVE_SECONDS, QUESTION_TOKENS, ask
from benchmarks.prompts import sized
from benchmarks.served import DENSE_MODEL, Served

ENGINE = "vllm"
MEMORY = "2GiB"
"""vLLM has a copy of the weights of its own, and takes a gigabyte beside them."""

ENDS, SLEEPS = "ends", "sleeps"


class OnVllm:
    """The platform runs from the start to the end of the `with` block."""

    def __init__(self, python: Path, seeds: Iterator[int]) -> None:
        """`python` has the platform and vLLM."""
        self._served = Served((DENSE_MODEL,), programs=python.parent)
        self._seeds = seeds

    def __enter__(self) -> Self:
        self._served.__enter__()
        spec: dict[str, Any] = {"model": MODEL, "engine": ENGINE, "memory": MEMORY, "keep_alive": KEEP_ALIVE_SECONDS}
        self._served.deploy(ENDS, **spec, max_instances=1, options={"can_sleep": False})
        self._sleeping = self._served.deploy(SLEEPS, **spec, max_instances=1)
        return self

    def __exit__(self, *_: object) -> None:
        self._served.__exit__()

    def from_zero(self) -> float:
        """Ask when vLLM's engine is to be made; the node's template has its modules."""
        self._served.wait_for_zero(ENDS)
        return self._ask(ENDS)

    def asleep(self) -> float:
        """Ask when a process sleeps."""
        if not self._served.is_asleep(self._sleeping):
            self._ask(SLEEPS)
            self._served.wait_until("a process sleeps", lambda: self._served.is_asleep(self._sleeping))
        return self._ask(SLEEPS)

    def _ask(self, function: str) -> float:
        return ask(self._served, function, sized(QUESTION_TOKENS, next(self._seeds))).first_token_seconds
