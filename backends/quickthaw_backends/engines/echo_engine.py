"""The reference engine: says the prompt back. Deterministic, needs no weights; for tests, examples and benches."""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import math
import operator
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from quickthaw.errors import FunctionFailed, InvalidRequest, NotServable, QuickthawError, Unavailable
from quickthaw.generation import Delta, TokenLogprob
from quickthaw.types import parse_seconds
from quickthaw_backends.engines.answer import Answer, answer_limit
from quickthaw_backends.engines.checks import check_batch_to_embed, check_tokens
from quickthaw_backends.engines.counter import uniform
from quickthaw_backends.engines.echo_tokenizer import VOCABULARY, EchoTokenizer, echoed_segment
from quickthaw_backends.engines.echo_voice import Voice, echo_answers
from quickthaw_backends.engines.failure import OnFailed, ignore_failure
from quickthaw_backends.engines.options import reject_unknown
from quickthaw_backends.engines.texts import shown_logprob
from quickthaw_platform.checkpoints.arrival import Arrival
from quickthaw_platform.contracts import Checkpoint, EngineStats, GenerationRequest, Sink, Tokenizer

_log = logging.getLogger(__name__)

DEFAULT_CONTEXT_TOKENS = 8192
EMBEDDING_DIMENSIONS = 32


@dataclass(frozen=True, slots=True)
class EchoOptions:
    """Options of the echo engine; delays in seconds, written as durations such as "20ms"."""

    first_token_delay: float = 0.0
    token_delay: float = 0.0
    load_delay: float = 0.0
    context_tokens: int | None = None  # None: what the manifest says, else DEFAULT_CONTEXT_TOKENS
    can_sleep: bool = False

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> EchoOptions:
        """Read options; InvalidRequest names the wrong one."""
        reject_unknown(options, cls.__dataclass_fields__, "echo")
        values = dict(options)
        for name in ("first_token_delay", "token_delay", "load_delay"):
            if name in values:
                values[name] = _seconds(name, values[name])
        context = values.get("context_tokens")
        if context is not None and (not isinstance(context, int) or isinstance(context, bool) or context < 1):
            raise InvalidRequest(f"option context_tokens must be a positive whole number, not {context!r}")
        if not isinstance(values.get("can_sleep", False), bool):
            raise InvalidRequest(f"option can_sleep is true or false, not {values['can_sleep']!r}", param="can_sleep")
        return cls(**values)


def _seconds(name: str, value: object) -> float:
    try:
        seconds = parse_seconds(value)
    except ValueError as error:
        raise InvalidRequest(f"option {name}: {error}", param=name) from error
    if not 0 <= seconds < math.inf:
        raise InvalidRequest(f"option {name} must not be negative or infinite", param=name)
    return seconds


@dataclass(slots=True)
class _Stream:
    request: GenerationRequest
    sink: Sink
    answer: Answer
    voice: Voice
    cached: int | None = None  # tokens of the prompt that were primed
    opened: bool = False
    cancelled: bool = False
    position: int = field(default=0)  # of the next token, over prompt and answer
    on_held: Callable[[int], None] | None = None  # while it is held
    turn: int = 0  # its entry among the due ones; older ones do not count


class EchoEngine:
    """Implements `contracts.Engine` with one thread for all streams and a heap of due times."""

    weights_formats: ClassVar[frozenset[str]] = frozenset({"safetensors", "gguf"})
    preloads: ClassVar[tuple[str, ...]] = ()
    on_failed: OnFailed = staticmethod(ignore_failure)

    def __init__(self) -> None:
        self._texts = EchoTokenizer()
        self.tokenizer: Tokenizer = self._texts
        self._answers = echo_answers(self._texts)
        self.context_tokens = DEFAULT_CONTEXT_TOKENS
        self._options = EchoOptions()
        self._task: str | None = None
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, _Stream]] = []  # (monotonic seconds, order of arrival, stream)
        self._streams: dict[str, _Stream] = {}
        self._order = itertools.count()
        self._closed = self._asleep = False
        self._thread: threading.Thread | None = None
        self._memory_bytes = 0
        self._arrival: Arrival | None = None
        self._sizes: tuple[int, ...] = ()
        self._primed: tuple[int, ...] = ()
        self.arrival_seconds = 0.0
        self._prompt_tokens_total = 0
        self._generated_tokens_total = 0

    @classmethod
    def missing(cls) -> str | None:
        """Return None: this engine needs nothing."""
        return None

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raise InvalidRequest, naming the known ones, for an unknown option or value."""
        EchoOptions.parse(options)

    def prepare(self, checkpoint: Checkpoint, options: Mapping[str, Any], stage: Callable[[str, float], None]) -> None:
        """Take the options; there is nothing to read. `task` of the manifest, where given, decides what is served."""
        self._options = EchoOptions.parse(options)
        self._task = checkpoint.manifest.get("task")
        known = checkpoint.manifest.get("context_tokens")
        self.context_tokens = self._options.context_tokens or known or DEFAULT_CONTEXT_TOKENS
        for name in ("tokenizer", "skeleton", "weights"):
            stage(name, 0.0)
        self._arrival = None if checkpoint.arrival is None else Arrival(checkpoint.arrival)
        self._sizes = tuple(file["bytes"] for file in checkpoint.manifest.get("weights", ()))

    def prime(self, tokens: Sequence[int], file: Path) -> bool:
        """Remember the beginning; `file` holds it as JSON. What a prompt shares with it counts as cached."""
        self._primed = tuple(tokens)
        content = json.dumps({"engine": "echo", "tokens": self._primed}).encode()
        if file.exists() and file.read_bytes() == content:
            return False
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        partial.write_bytes(content)
        partial.replace(file)
        return True

    def start(self, device: str, threads: int, memory_bytes: int) -> None:  # noqa: ARG002 (needs no device)
        """Wait for the weights and `load_delay`, then start the one thread."""
        self._memory_bytes = memory_bytes
        began = time.monotonic()
        if self._arrival is not None:
            self._arrival.wait_for_all(self._sizes)
        self.arrival_seconds = time.monotonic() - began
        time.sleep(self._options.load_delay)
        self._thread = threading.Thread(target=self._run, name="echo-engine", daemon=True)
        self._thread.start()

    @property
    def can_sleep(self) -> bool:
        """Whether its option says so: nothing is given back, since nothing is held."""
        return self._options.can_sleep

    def sleep(self) -> None:
        """Take nothing until `wake`."""
        self._asleep = True

    def wake(self) -> None:
        """Go on at once: `load_delay` is for starts that load."""
        self._asleep = False

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        """Begin a stream after `first_token_delay`."""
        self._submit(request, sink, None)

    def hold(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None]) -> None:
        """Begin a stream that says nothing until `release`; `first_token_delay` stands for the prefill."""
        self._submit(request, sink, on_held)

    def extend(self, request_id: str, tokens: Sequence[int]) -> None:
        """Count tokens of a held stream as said."""
        with self._changed:
            stream = self._streams.get(request_id)
            if stream is None or stream.on_held is None:
                return
            for token in tokens:
                stream.answer.push(token)
                stream.voice.hear(token)
            stream.position += len(tokens)
            self._schedule(stream, 0.0)

    def release(self, request_id: str) -> None:
        """Have a held stream say the next token at once."""
        with self._changed:
            stream = self._streams.get(request_id)
            if stream is not None and stream.on_held is not None:
                stream.on_held = None
                self._schedule(stream, 0.0)

    def _submit(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None] | None) -> None:
        if self._task == "embed":
            raise NotServable("this checkpoint embeds; it generates no text")
        limit = answer_limit(request, self.context_tokens)
        check_tokens(request.tokens, VOCABULARY)
        answer = self._answers.begin(request, limit)
        prompt = request.tokens[: len(request.tokens) - request.generated]
        voice = Voice(echoed_segment(prompt), answer.constraint, endless=request.sampling.ignore_eos)
        for token in request.tokens[len(prompt) :]:
            voice.hear(token)
        stream = _Stream(request, sink, answer, voice, position=len(request.tokens))
        stream.on_held = on_held
        shared = sum(itertools.takewhile(bool, map(operator.eq, self._primed, prompt)))
        stream.cached = min(shared, len(prompt) - 1) or None
        with self._changed:
            if self._closed or self._asleep or self._thread is None:
                raise Unavailable("the engine is not running")
            if request.id in self._streams:
                raise InvalidRequest(f"request {request.id!r} is running already")
            self._streams[request.id] = stream
            self._prompt_tokens_total += len(prompt)
            self._schedule(stream, self._options.first_token_delay)

    def cancel(self, request_id: str) -> None:
        """End a stream before its next token."""
        with self._changed:
            stream = self._streams.pop(request_id, None)
            if stream is not None:
                stream.cancelled = True

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a unit vector that depends on nothing but the tokens."""
        if self._task == "generate":
            raise NotServable("this checkpoint generates text; it does not embed")
        check_batch_to_embed(batch, self.context_tokens, VOCABULARY)
        return [_unit_vector(tokens) for tokens in batch]

    def stats(self) -> EngineStats:
        """Return a snapshot; a token counts as one byte of cache."""
        with self._changed:
            return EngineStats(
                running=len(self._streams),
                waiting=0,
                kv_bytes=sum(stream.position for stream in self._streams.values()),
                kv_bytes_limit=self._memory_bytes,
                context_tokens=self.context_tokens,
                prompt_tokens_total=self._prompt_tokens_total,
                generated_tokens_total=self._generated_tokens_total,
            )

    def close(self) -> None:
        """Stop the thread; streams that still run get an error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._changed:
            left, self._streams = list(self._streams.values()), {}
        for stream in left:
            self._send(stream, Unavailable("the engine was closed"))

    def _schedule(self, stream: _Stream, delay: float) -> None:
        stream.turn = next(self._order)
        heapq.heappush(self._due, (time.monotonic() + delay, stream.turn, stream))
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (stream := self._next()) is not None:
                self._step(stream)
        except Exception as error:  # noqa: BLE001 (a bug of ours; no request may hang for it)
            _log.exception("the echo engine failed")
            self.on_failed(FunctionFailed(f"the engine failed: {type(error).__name__}: {error}"))
            self.close()

    def _send(self, stream: _Stream, outcome: Delta | QuickthawError) -> None:
        """Say something of a stream, which is forgotten before its last word: its id is free for whoever hears that."""
        if not isinstance(outcome, Delta) or outcome.finish_reason is not None:
            with self._changed:
                self._streams.pop(stream.request.id, None)
                stream.cancelled = True
        if isinstance(outcome, Delta) and outcome.prompt_tokens is not None:
            outcome = replace(outcome, cached_tokens=stream.cached)
        try:
            stream.sink(outcome)
        except Exception:  # noqa: BLE001 (foreign code; the other streams go on)
            _log.exception("a sink failed for request %s", stream.request.id)

    def _next(self) -> _Stream | None:
        """Block until a stream is due; None when the engine closes."""
        with self._changed:
            while not self._closed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    _, turn, stream = heapq.heappop(self._due)
                    if turn == stream.turn:
                        return stream
                    continue
                self._changed.wait(wait)
        return None

    def _step(self, stream: _Stream) -> None:
        with self._changed:
            on_held, position = stream.on_held, stream.position
        if on_held is not None:
            on_held(position)
        if stream.cancelled or on_held is not None:
            return
        if not stream.opened:
            self._open(stream)
        if stream.answer.finish_reason is None:
            self._say(stream)
        if stream.answer.finish_reason is None:
            with self._changed:
                if not stream.cancelled:
                    self._schedule(stream, self._options.token_delay)

    def _open(self, stream: _Stream) -> None:
        stream.opened = True
        request = stream.request
        if request.sampling.echo and not request.generated:
            entries = [self._logprob(request, p) for p in range(len(request.tokens))]
            self._send(stream, stream.answer.opening(self.tokenizer.decode(request.tokens), [e for e in entries if e]))
        elif stream.answer.finish_reason is not None:
            self._send(stream, stream.answer.opening())

    def _say(self, stream: _Stream) -> None:
        try:
            token = stream.voice.choose(stream.answer.count)
        except InvalidRequest as error:
            self._send(stream, error)
            return
        delta = stream.answer.push(token, self._logprob(stream.request, stream.position, token))
        stream.voice.hear(token)
        stream.position += 1
        with self._changed:
            self._generated_tokens_total += 1
        self._send(stream, delta)

    def _logprob(self, request: GenerationRequest, position: int, token: int | None = None) -> TokenLogprob | None:
        """Return a log-probability that depends on the seed and the position, as a sampler's would."""
        wanted = request.sampling.logprobs
        if wanted is None:
            return None
        token = request.tokens[position] if token is None else token
        value = math.log(uniform(request.sampling.seed or 0, position)) if position else None
        return shown_logprob(self._texts, token, value, [(token, value)] if wanted and value is not None else [])


def _unit_vector(tokens: Sequence[int]) -> list[float]:
    seed = 0
    for token in tokens:
        seed = (seed * 1_000_003 + token + 1) % (1 << 63)
    raw = [uniform(seed, dimension) - 0.5 for dimension in range(EMBEDDING_DIMENSIONS)]
    length = math.sqrt(sum(value * value for value in raw))
    return [value / length for value in raw]
