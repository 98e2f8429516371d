"""The model as a handler sees it: an engine, bound to one invocation."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from quickthaw.errors import InvalidRequest, QuickthawError
from quickthaw.types import Delta, Sampling, Usage
from quickthaw_platform.contracts import Engine, GenerationRequest

_SEED_STEP = 0x9E3779B97F4A7C15
"""Sets apart the seeds of an invocation's several generations (2⁶⁴ divided by the golden ratio)."""

_SEED_MASK = (1 << 63) - 1


class Stopped(BaseException):
    """The invocation was cancelled or timed out; no Exception, so that a handler's `except Exception` lets it pass."""


_Item = Delta | QuickthawError | Stopped


def merge_sampling(explicit: Mapping[str, Any], requested: Mapping[str, Any], defaults: Sampling) -> Sampling:
    """Return the sampling for one generation: the handler's word over the caller's over the default.

    A handler's None means that it leaves the choice to the caller. Raises InvalidRequest, naming the field.
    """
    fields = defaults.model_dump() | dict(requested) | {k: v for k, v in explicit.items() if v is not None}
    try:
        return Sampling.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"sampling field {name}: {first['msg']}", param=name) from error


def request_seed(base: int, generation: int, choice: int) -> int:
    """Return the seed of one answer: `base` itself for the first answer of an invocation's first generation."""
    return (base + generation * _SEED_STEP + choice) & _SEED_MASK if generation else base + choice


class BoundModel:
    """Implements `quickthaw.types.Model` for one invocation; used by the handler's threads, stopped from another."""

    def __init__(
        self,
        engine: Engine,
        invocation: str,
        *,
        seed: int,
        requested: Mapping[str, Any] | None = None,
        defaults: Sampling | None = None,
        on_prefill: Callable[[float], None] | None = None,
    ) -> None:
        """`requested` holds the caller's sampling fields; `on_prefill` hears the seconds of each first token."""
        self._engine = engine
        self._invocation = invocation
        self._seed = seed
        self._requested = dict(requested or {})
        self._defaults = defaults or Sampling()
        self._on_prefill = on_prefill
        self._lock = threading.Lock()
        self._stopped = False
        self._generations = 0
        self._running: dict[str, queue.SimpleQueue[_Item]] = {}
        self._prompt_tokens = 0
        self._completion_tokens = 0

    @property
    def usage(self) -> Usage:
        """Tokens in and out so far."""
        return Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self._completion_tokens)

    def chat(self, messages: Sequence[dict[str, Any]], **sampling: Any) -> Iterator[Delta]:
        """Answer a conversation: messages with `role` and `content`, rendered by the model's own chat template."""
        return self._generate(self._engine.tokenizer.chat(messages), sampling)

    def complete(self, prompt: str | Sequence[int], **sampling: Any) -> Iterator[Delta]:
        """Continue a text, or a sequence of token ids."""
        tokens = self._engine.tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
        return self._generate(tokens, sampling)

    def embed(self, texts: str | Sequence[str]) -> list[list[float]]:
        """Embed texts: one vector (unit length) for each, in order."""
        batch = [self._engine.tokenizer.encode(text) for text in ([texts] if isinstance(texts, str) else texts)]
        started = time.monotonic()
        vectors = self._engine.embed(batch)
        self._prefilled(started)
        self._prompt_tokens += sum(map(len, batch))
        self._check_stopped()
        return vectors

    def count_tokens(self, text: str) -> int:
        """Return how many tokens the text has."""
        return len(self._engine.tokenizer.encode(text))

    def stop(self) -> None:
        """End all generations at their next step; the handler's iterators raise Stopped. Idempotent."""
        with self._lock:
            self._stopped = True
            running = dict(self._running)
        for request_id, items in running.items():
            self._engine.cancel(request_id)
            items.put(Stopped())

    def _check_stopped(self) -> None:
        if self._stopped:
            raise Stopped

    def _generate(self, tokens: Sequence[int], explicit: Mapping[str, Any]) -> Iterator[Delta]:
        """Submit at once, so that what is wrong with the request is raised where the handler asks, not at `next`."""
        sampling = merge_sampling(explicit, self._requested, self._defaults)
        items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        # A seed that the handler names holds as it is; the invocation's is spread over its generations.
        requests = self._requests(tuple(tokens), sampling, spread=explicit.get("seed") is None)
        with self._lock:
            self._check_stopped()
            self._running |= dict.fromkeys((request.id for request in requests), items)
        started = time.monotonic()
        try:
            for request in requests:
                self._engine.submit(request, items.put)
        except BaseException:
            self._leave(requests, cancel=True)
            raise
        return self._deltas(requests, items, started)

    def _requests(self, tokens: tuple[int, ...], sampling: Sampling, spread: bool) -> list[GenerationRequest]:
        with self._lock:
            generation = self._generations
            self._generations += 1
        base = self._seed if sampling.seed is None else sampling.seed
        return [
            GenerationRequest(
                id=f"{self._invocation}/{generation}.{choice}",
                tokens=tokens,
                sampling=sampling.model_copy(
                    update={"seed": request_seed(base, generation if spread else 0, choice), "n": 1}
                ),
                choice=choice,
            )
            for choice in range(sampling.n)
        ]

    def _deltas(
        self, requests: Sequence[GenerationRequest], items: queue.SimpleQueue[_Item], started: float
    ) -> Iterator[Delta]:
        open_choices = len(requests)
        counted = False
        try:
            while open_choices:
                item = items.get()
                if not isinstance(item, Delta):
                    raise item
                if not counted:
                    self._prefilled(started)
                    self._prompt_tokens += len(requests[0].tokens)
                    counted = True
                self._completion_tokens += len(item.tokens)
                open_choices -= item.finish_reason is not None
                yield item
        finally:
            self._leave(requests, cancel=open_choices > 0)

    def _leave(self, requests: Sequence[GenerationRequest], *, cancel: bool) -> None:
        """Forget the requests; `cancel` those that still run (the handler stopped listening)."""
        for request in requests:
            if cancel:
                self._engine.cancel(request.id)
            with self._lock:
                self._running.pop(request.id, None)

    def _prefilled(self, started: float) -> None:
        if self._on_prefill is not None:
            self._on_prefill(time.monotonic() - started)
