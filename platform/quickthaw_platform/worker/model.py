"""The model as a handler sees it: an engine, bound to one invocation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import ValidationError

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions, Delta, Sampling
from quickthaw.types import Usage
from quickthaw_platform.contracts import Engine, GenerationRequest
from quickthaw_platform.worker.delta_stream import DeltaStream
from quickthaw_platform.worker.generation import Generation
from quickthaw_platform.worker.replay import Recorder, Replay, Stopped, prompt_digest

_SEED_STEP = 0x9E3779B97F4A7C15
"""Sets apart the seeds of an invocation's several generations (2⁶⁴ divided by the golden ratio)."""

_SEED_MASK = (1 << 63) - 1


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
    """Implements `quickthaw.generation.Model` for one invocation; the handler reads it, another thread stops it."""

    def __init__(
        self,
        engine: Engine,
        invocation: str,
        *,
        seed: int,
        requested: Mapping[str, Any] | None = None,
        defaults: Sampling | None = None,
        on_prefill: Callable[[float], None] | None = None,
        replay: Replay | None = None,
        record: Callable[[str, Delta], None] | None = None,
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`requested` holds the caller's sampling fields; `on_prefill` hears the seconds of each first token.

        `replay` is what was recorded in the invocation's earlier life; `record` keeps model output for a later one (see
        replay.Recorder). While the replay is open, `on_caught_up` hears that all it holds has been computed.
        """
        self._engine = engine
        self._invocation = invocation
        self._seed = seed
        self._requested = dict(requested or {})
        self._defaults = defaults or Sampling()
        self._on_prefill = on_prefill
        self._lock = threading.Lock()
        self._stopped = False
        self._generations = 0
        self._running: set[Generation] = set()
        self._replay = replay or Replay()
        self.recorder = Recorder(record)
        self._on_caught_up = on_caught_up
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._completion_tokens = 0

    @property
    def usage(self) -> Usage:
        """Tokens in and out so far."""
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            cached_tokens=self._cached_tokens,
        )

    def chat(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = (), **sampling: Any
    ) -> Iterator[Delta]:
        """Answer a conversation: messages with `role` and `content`, rendered by the model's own chat template."""
        options = ChatOptions(tools=tuple(tools))
        return self._generate(self._engine.tokenizer.chat(messages, options).tokens, sampling)

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

    @property
    def is_behind(self) -> bool:
        """Whether recorded tokens are still to be computed."""
        with self._lock:
            return any(generation.is_behind for generation in self._running)

    def stop(self) -> None:
        """End all generations at their next step; the handler's iterators raise Stopped. Idempotent."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        self._replay.stop()
        for generation in running:
            generation.stop()

    def _check_stopped(self) -> None:
        if self._stopped:
            raise Stopped

    def _generate(self, tokens: Sequence[int], explicit: Mapping[str, Any]) -> DeltaStream:
        """Submit at once, so that what is wrong with the request is raised where the handler asks, not at `next`."""
        sampling = merge_sampling(explicit, self._requested, self._defaults)
        with self._lock:
            self._check_stopped()
            number = self._generations
            self._generations += 1
            # A seed that the handler names holds as it is; the invocation's is spread over its generations.
            spread = number if explicit.get("seed") is None else 0
            generation = Generation(
                self._engine, self._requests(tuple(tokens), sampling, number, spread), on_caught_up=self._on_caught_up
            )
            self._running.add(generation)
        started = time.monotonic()
        prompt = prompt_digest(tokens, sampling)
        try:
            self._replay.join(number, prompt, lambda recorded, is_open: generation.begin(recorded, hold=is_open))
        except BaseException:
            generation.cancel()
            self._leave(generation)
            raise
        return DeltaStream(
            generation,
            number,
            prompt,
            self.recorder,
            on_delta=partial(self._count, generation, started),
            on_end=partial(self._leave, generation),
        )

    def _requests(
        self, tokens: tuple[int, ...], sampling: Sampling, number: int, spread: int
    ) -> list[GenerationRequest]:
        base = self._seed if sampling.seed is None else sampling.seed
        return [
            GenerationRequest(
                id=f"{self._invocation}/{number}.{choice}",
                tokens=tokens,
                sampling=sampling.model_copy(update={"seed": request_seed(base, spread, choice), "n": 1}),
                choice=choice,
            )
            for choice in range(sampling.n)
        ]

    def _count(self, generation: Generation, started: float, index: int, delta: Delta) -> None:
        if index == 0:
            self._prefilled(started)
            self._prompt_tokens += len(generation.requests[0].tokens)
            self._cached_tokens += delta.cached_tokens or 0
        self._completion_tokens += len(delta.tokens)

    def _leave(self, generation: Generation) -> None:
        with self._lock:
            self._running.discard(generation)

    def _prefilled(self, started: float) -> None:
        if self._on_prefill is not None:
            self._on_prefill(time.monotonic() - started)
