"""A node without processes: it plays the agent's part on the stores, at once, in the thread of the command or call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from redis import Redis

from quickthaw.generation import Delta, TokenLogprob
from quickthaw.types import InvocationState, Usage
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.invocations.records import Chunk
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker import commands
from quickthaw_platform.worker.before_compression import counted

Output = Delta | QuickthawError | dict[str, Any] | str
Script = Callable[[Mapping[str, Any]], Iterable[Output]]


def words(request: Mapping[str, Any]) -> Iterable[Output]:
    """Answer "Hello world" for each choice, a token a word, as the request's sampling says."""
    sampling = request["sampling"]
    for choice in range(sampling.get("n", 1)):
        spoken = ["Hello", " world"][: sampling.get("max_tokens", 2)]
        for index, word in enumerate(spoken):
            yield Delta(
                text=word,
                tokens=(index + 1,),
                choice=choice,
                logprobs=(TokenLogprob(index + 1, word, -0.5, ((word, -0.5), ("Bye", -2.0))),)
                if sampling.get("logprobs") is not None
                else (),
                prompt_tokens=3 if index == 0 else None,
            )
        reason = "length" if sampling.get("max_tokens") in (0, 1) else "stop"
        yield Delta(choice=choice, finish_reason=reason)  # type: ignore[arg-type]  # one of the two literals


class FakeNode:
    """Takes the place of Celery and of the agent: serves each command as it is sent and each call as it comes, or keeps
    them while `holding`.
    """

    def __init__(self, redis: Redis, settings: Settings, name: str = "n1") -> None:
        self.name = name
        self.redis = redis
        self.store = InvocationStore(redis, settings)
        self.slots = SlotStore(redis)
        self.script: Script = words
        self.holding = False
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.requests: dict[str, dict[str, Any]] = {}  # what it was given, by invocation

    def send_task(self, name: str, kwargs: dict[str, Any], queue: str, ignore_result: bool, **_: Any) -> None:
        """Do what Celery does for worker.commands.Commands."""
        assert queue == commands.queue_of(self.name)
        assert ignore_result
        self.sent.append((name, kwargs))
        if not self.holding:
            self.handle(name, kwargs)

    def handle(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Serve one command."""
        if name == commands.START:
            self.start(arguments["instance"])

    def take_up(self) -> None:
        """Serve what is on the node's list."""
        while (call := self.redis.lpop(f"qt:node.calls:{self.name}")) is not None:
            invocation, epoch, instance = json.loads(str(call))
            self.serve(invocation, int(epoch), instance)

    def came(self) -> None:
        """Serve what may have come to the node's list, unless it is to be held."""
        if not self.holding:
            self.take_up()

    def release(self) -> None:
        """Serve what was held."""
        self.holding = False
        for name, arguments in list(self.sent):
            self.handle(name, arguments)
        self.take_up()

    def start(self, instance: str) -> None:
        """Bring an instance up and let it take what waits."""
        if self.slots.loaded(instance) and self.slots.ready(instance):
            self.claim(instance)

    def claim(self, instance: str) -> None:
        """Serve what waits for the instance's version."""
        self.store.claim(instance)
        self.take_up()

    def serve(self, invocation: str, epoch: int, instance: str) -> None:
        """Run the script for one invocation."""
        seq = self.store.begin(invocation, epoch, self.name, instance)
        if not seq:
            return
        request = self.requests[invocation] = self.store.request(invocation)
        completion = 0
        result: Any = None
        texts: list[str] = []
        for output in self.script(request):
            if isinstance(output, QuickthawError):
                self.store.finish(invocation, epoch, InvocationState.FAILED, error=output.to_json())
                self.claim(instance)
                return
            if isinstance(output, dict):
                result = output["result"]
                continue
            data = {"delta": output.to_json()} if isinstance(output, Delta) else {"value": output}
            completion += len(output.tokens) if isinstance(output, Delta) else 0
            texts.append(str(output))
            if not self.store.append(invocation, epoch, seq, [Chunk.of(data)]):
                return
            seq += 1
        usage = counted(Usage(prompt_tokens=3, completion_tokens=completion), request, lambda text: len(text.split()))
        outcome = result if result is not None else "".join(texts)
        self.store.finish(invocation, epoch, InvocationState.SUCCEEDED, result=outcome, usage=usage)

    def told(self, name: str) -> list[dict[str, Any]]:
        """Return the arguments of every command of this name."""
        return [arguments for sent, arguments in self.sent if sent == name]
