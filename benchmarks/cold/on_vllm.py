"""A function on the engine `vllm`, of a platform of another Python environment that is up for each measurement only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.assets import MODEL
from benchmarks.cold.from_zero import KEEP_ALIVE_SECONDS, QUESTION_TOKENS, ask
from benchmarks.prompts import sized
from benchmarks.served import DENSE_MODEL, Served

FUNCTION = "on-vllm"
MEMORY = "2GiB"
"""vLLM has a copy of the weights of its own, and takes a gigabyte beside them."""


class OnVllm:
    """Each call begins with no instance of the function, and asks in words of its own."""

    def __init__(self, python: Path, seeds: Iterator[int]) -> None:
        """`python` has the platform and vLLM."""
        self._programs = python.parent
        self._seeds = seeds

    def from_zero(self) -> float:
        """Ask where vLLM's engine is to be made; the node's template has its modules."""
        return self._first_token_seconds(can_sleep=False)

    def asleep(self) -> float:
        """Ask where a process sleeps."""
        return self._first_token_seconds(can_sleep=True)

    def _first_token_seconds(self, *, can_sleep: bool) -> float:
        with Served((DENSE_MODEL,), programs=self._programs) as served:
            version = served.deploy(
                FUNCTION,
                model=MODEL,
                engine="vllm",
                memory=MEMORY,
                keep_alive=KEEP_ALIVE_SECONDS,
                max_instances=1,
                options={"can_sleep": can_sleep},
            )
            self._ask(served)
            served.wait_for_zero(FUNCTION)
            if can_sleep:
                served.wait_until("a process sleeps", lambda: served.is_asleep(version))
            return self._ask(served)

    def _ask(self, served: Served) -> float:
        return ask(served, FUNCTION, sized(QUESTION_TOKENS, next(self._seeds))).first_token_seconds
