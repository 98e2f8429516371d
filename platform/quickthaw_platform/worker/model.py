"""The model as a handler sees it: an engine, bound to one invocation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions, Delta, Sampling
from quickthaw.tool import AnyTool
from quickthaw.types import Usage
from quickthaw_platform.contracts import Engine, GenerationRequest, Prompt, Reading
from quickthaw_platform.worker.bounds import Bounds
from quickthaw_platform.worker.delta_stream import DeltaStream
from quickthaw_platform.worker.generation import Generation
from quickthaw_platform.worker.merging import Asked, asked, merged, merged_chat, split
from quickthaw_platform.worker.prompts import batch_tokens, prompt_tokens, truncated
from quickthaw_platform.worker.replay import Recorder, Replay, Stopped, prompt_digest

_SEED_STEP = 0x9E3779B97F4A7C15
"""Sets apart the seeds of an invocation's several generations (2⁶⁴ divided by the golden ratio)."""

_SEED_MASK = (1 << 63) - 1


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
        requested_chat: Mapping[str, Any] | None = None,
        defaults: Sampling | None = None,
        bounds: Bounds | None = None,
        on_prefill: Callable[[float], None] | None = None,
        replay: Replay | None = None,
        record: Callable[[str, Delta], None] | None = None,
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`requested` holds the caller's sampling fields and `requested_chat` those of ChatOptions, only the ones that
        it set; `bounds` say how long answers are; `on_prefill` hears the seconds of each first token.

        `replay` is what was recorded in the invocation's earlier life; `record` keeps model output for a later one (see
        replay.Recorder). While the replay is open, `on_caught_up` hears that all it holds has been computed.
        """
        self._engine = engine
        self._invocation = invocation
        self._seed = seed
        self._requested = dict(requested or {})
        self._requested_chat = dict(requested_chat or {})
        self._defaults = defaults or Sampling()
        self._bounds = bounds or Bounds()
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

    @property
    def requested_chat(self) -> ChatOptions:
        """What the caller asks of a conversation; raises InvalidRequest, naming the field, for what cannot be."""
        return merged(ChatOptions, {}, self._requested_chat)

    def refuse_chat(self, argument: str) -> None:
        """Raise InvalidRequest, naming the first field, where the caller set options of a conversation."""
        for name in self._requested_chat:
            raise InvalidRequest(f"{name} is for conversations; a call with {argument!r} has none", param=name)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Iterable[AnyTool] | None = None,
        *,
        response_format: Any = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> DeltaStream:
        """Answer a conversation; see `quickthaw.Model.chat`."""
        sampling, chat = split(fields, Sampling, ChatOptions)
        options = merged_chat(chat, tools, tool_choice, self._requested_chat)
        asked = self._asked(sampling, response_format)
        return self._generate(self._engine.tokenizer.chat(messages, options), asked)

    def complete(
        self, prompt: str | Sequence[int], suffix: str | None = None, *, response_format: Any = None, **fields: Any
    ) -> DeltaStream:
        """Continue a prompt, or write what stands before `suffix`; see `quickthaw.Model.complete`."""
        (sampling,) = split(fields, Sampling)
        asked = self._asked(sampling, response_format)
        return self._generate(Prompt(prompt_tokens(self._engine.tokenizer, prompt, suffix)), asked)

    def embed(self, texts: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]) -> list[list[float]]:
        """Embed texts, or sequences of token ids: one vector for each, in order."""
        batch = batch_tokens(self._engine.tokenizer, texts)
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

    def _asked(self, explicit: Mapping[str, Any], response_format: Any) -> Asked:
        return asked(explicit, response_format, self._requested, self._defaults)

    def _generate(self, prompt: Prompt, asked: Asked) -> DeltaStream:
        """Submit at once, so that what is wrong with the request is raised where the handler asks, not at `next`."""
        sampling = asked.sampling
        tokens = truncated(prompt.tokens, sampling, self._engine.context_tokens)
        room = self._engine.context_tokens - len(tokens)
        bounded = self._bounds.applied(sampling, names_max_tokens=asked.names_max_tokens, room=room)
        with self._lock:
            self._check_stopped()
            number = self._generations
            self._generations += 1
            # A seed that the handler names holds as it is; the invocation's is spread over its generations.
            spread = 0 if asked.names_seed else number
            requests = self._requests(tuple(tokens), prompt.reading, bounded, number, spread)
            generation = Generation(self._engine, requests, on_caught_up=self._on_caught_up)
            self._running.add(generation)
        started = time.monotonic()
        digest = prompt_digest(tokens, sampling, prompt.reading)
        try:
            self._replay.join(number, digest, lambda recorded, is_open: generation.begin(recorded, hold=is_open))
        except BaseException:
            generation.cancel()
            self._leave(generation)
            raise
        return DeltaStream(
            generation,
            number,
            digest,
            self.recorder,
            read=asked.read,
            on_delta=partial(self._count, generation, started),
            on_end=partial(self._leave, generation),
        )

    def _requests(
        self, tokens: tuple[int, ...], reading: Reading | None, sampling: Sampling, number: int, spread: int
    ) -> list[GenerationRequest]:
        base = self._seed if sampling.seed is None else sampling.seed
        done = {"n": 1, "truncate_prompt_tokens": None}  # what is done here and not the engine's affair
        return [
            GenerationRequest(
                id=f"{self._invocation}/{number}.{choice}",
                tokens=tokens,
                sampling=sampling.model_copy(update={**done, "seed": request_seed(base, spread, choice)}),
                choice=choice,
                reading=reading,
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
