"""A function of the platform that has scaled to zero before each call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from benchmarks.assets import question
from benchmarks.client import stream
from benchmarks.cold.memory import private_bytes
from benchmarks.prompts import plain, sized, words
from benchmarks.rounds import SETTLE_SECONDS
from benchmarks.served import Served
from benchmarks.sse import Stream
from quickthaw.resources import Tier

QUESTION_TOKENS = 37
"""As many as `assets.question` has."""

KEEP_ALIVE_SECONDS = 1.0
ANSWER_TOKENS = 4
PRIMING_SECONDS = 120.0


class FromZero:
    """Each call begins with no instance of the function, and asks in words of its own."""

    def __init__(self, served: Served, function: str, model: str, engine: str, seeds: Iterator[int]) -> None:
        self._served = served
        self._function = function
        self._model = model
        self._seeds = seeds
        self._version = served.deploy(
            function, model=model, engine=engine, keep_alive=KEEP_ALIVE_SECONDS, max_instances=1
        )

    def plain(self) -> float:
        """Ask with the template there, which has read what every plain question to the model begins with.

        RuntimeError where the start did not find that read.
        """
        self._wait_for_zero()
        answer = self._ask(plain(QUESTION_TOKENS, next(self._seeds)))
        if not answer.cached:
            raise RuntimeError("nothing of the chat template's own beginning was read before the call")
        return answer.first_token_seconds

    def unseen(self) -> float:
        """Ask with the template there, with a system message that nobody has ever sent before."""
        self._wait_for_zero()
        return self._ask(self._unseen()).first_token_seconds

    def warm(self) -> float:
        """Ask twice in a row, as `unseen`; return the first token of the second."""
        self._ask(self._unseen())
        return self._ask(self._unseen(), settle_seconds=0.0).first_token_seconds

    def from_tier(self, tier: Tier) -> float:
        """Have the node drop the template, and the model too, so that its weights come from this tier."""
        self._drop(tier)
        return self._ask(self._unseen()).first_token_seconds

    def stages(self, tier: Tier) -> dict[str, float]:
        """Return the seconds of each stage of a start from this tier."""
        self._drop(tier)
        time.sleep(SETTLE_SECONDS)
        asked = {"input": {"messages": self._unseen()}, "sampling": {"temperature": 0, "max_tokens": 1}}
        return self._served.stages(self._function, asked)

    def _wait_for_zero(self) -> None:
        if not self._served.is_primed(self._version):
            self._ask(self._unseen())
            self._served.wait_until(
                "the node is primed", lambda: self._served.is_primed(self._version), PRIMING_SECONDS
            )
        self._served.wait_for_zero(self._function)

    def _drop(self, tier: Tier) -> None:
        self._served.wait_for_zero(self._function)
        if tier == "dram":
            self._served.drop_templates()
        else:
            self._served.evict("dram" if tier == "disk" else "disk", self._model)

    def _unseen(self) -> list[dict[str, str]]:
        return sized(QUESTION_TOKENS, next(self._seeds))

    def _ask(self, messages: list[dict[str, str]], settle_seconds: float = SETTLE_SECONDS) -> Stream:
        return ask(self._served, self._function, messages, settle_seconds)


class Primed:
    """A function with a system message of so many tokens, which its node has read before each call."""

    def __init__(self, served: Served, function: str, model: str, engine: str, system_tokens: int) -> None:
        self._served = served
        self._function = function
        self._tokens = system_tokens
        system = words(system_tokens, seed=-system_tokens)
        self._version = served.deploy(
            function, model=model, engine=engine, keep_alive=KEEP_ALIVE_SECONDS, max_instances=1, system=system
        )

    def first_token_seconds(self) -> float:
        """Ask; RuntimeError where the start did not find the system message read."""
        if not self._served.is_primed(self._version):
            ask(self._served, self._function, question())
            self._served.wait_until(
                "the node is primed", lambda: self._served.is_primed(self._version), PRIMING_SECONDS
            )
        self._served.wait_for_zero(self._function)
        answer = ask(self._served, self._function, question())
        if (answer.cached or 0) < self._tokens:
            raise RuntimeError(f"only {answer.cached} of {self._tokens} tokens were read before the call")
        return answer.first_token_seconds

    def private_bytes(self) -> int:
        """Return the memory that an instance has for itself, once it has answered."""
        self.first_token_seconds()
        return private_bytes(self._served.instance_processes()[-1].pid)


def ask(
    served: Served, function: str, messages: list[dict[str, str]], settle_seconds: float = SETTLE_SECONDS
) -> Stream:
    """Ask for a few tokens, after a rest: the node has just ended processes; RuntimeError where they do not come."""
    time.sleep(settle_seconds)
    body = {"model": function, "messages": messages, "stream": True, "max_tokens": ANSWER_TOKENS, "temperature": 0}
    more = {"ignore_eos": True, "stream_options": {"include_usage": True}}
    answer = asyncio.run(stream(served.target(), {**body, **more}))
    if not answer.complete:
        raise RuntimeError(f"the platform's answer is not whole: {answer.error}")
    return answer
