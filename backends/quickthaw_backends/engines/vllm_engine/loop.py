"""The thread that owns vLLM: it takes requests in, has vLLM step, and hands out what comes."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from vllm import PoolingParams
from vllm.platforms import current_platform

from quickthaw.errors import FunctionFailed, InvalidRequest, QuickthawError, StartFailed, Unavailable
from quickthaw.generation import Delta
from quickthaw_backends.engines.failure import OnFailed, ignore_failure
from quickthaw_backends.engines.vllm_engine.sleeping import fall_asleep, wake_up
from quickthaw_backends.engines.vllm_engine.stream import Stream
from quickthaw_platform.contracts import EngineStats

_log = logging.getLogger(__name__)

_WARMING = "held:"
"""Before the id of a request that only reads what a held one knows."""


@dataclass(slots=True)
class _Embedding:
    tokens: Sequence[int]
    done: Future[list[float]]


class VllmLoop:
    """vLLM is made, stepped and ended by one thread, since each that computes keeps compute threads of its own."""

    on_failed: OnFailed = staticmethod(ignore_failure)

    _alive: ClassVar[set[VllmLoop]] = set()
    _ended: ClassVar[list[Any]] = []
    """Engines that others outlived. An instance has one; but the end of one, its collection as garbage too, ends what
    all of a process share, so that it has to wait for the last."""

    def __init__(self, make: Callable[[], Any]) -> None:
        """`make` returns an `LLMEngine`. Blocks until it has; StartFailed with the cause where it cannot."""
        self._changed = threading.Condition()  # guards all that follows
        self._orders: list[Callable[[], None]] = []  # for the thread, before its next step
        self._streams: dict[str, Stream] = {}
        self._embeddings: dict[str, _Embedding] = {}
        self._embedded = 0
        self._closed: QuickthawError | None = None
        self._prompt_tokens_total = 0
        self._generated_tokens_total = 0
        made: Future[None] = Future()
        self._engine: Any
        self._thread = threading.Thread(target=self._main, args=(make, made), name="vllm-engine", daemon=True)
        self._thread.start()
        made.result()
        self.context_tokens = int(self._engine.model_config.max_model_len)
        self.vocabulary = int(self._engine.model_config.get_vocab_size())

    def submit(self, stream: Stream) -> None:
        """Take a stream in before the next step."""
        with self._changed:
            if self._closed is not None:
                raise self._closed
            if stream.id in self._streams:
                raise InvalidRequest(f"request {stream.id!r} is running already")
            self._streams[stream.id] = stream
            self._prompt_tokens_total += len(stream.request.tokens) - stream.request.generated
            self._order(lambda: self._hold(stream) if stream.held else self._begin(stream))

    def extend(self, request_id: str, tokens: Sequence[int]) -> None:
        """Give a held stream the next tokens of its answer; an unknown id is ignored."""

        def extend() -> None:
            stream = self._streams.get(request_id)
            if stream is not None and stream.on_held is not None:
                stream.extend(tokens)
                stream.on_held(len(stream.tokens))

        with self._changed:
            self._order(extend)

    def release(self, request_id: str) -> None:
        """Have a held stream go on by itself; an unknown id is ignored."""

        def release() -> None:
            stream = self._streams.get(request_id)
            if stream is not None and stream.held:
                stream.on_held = None
                self._engine.abort_request([_WARMING + request_id])
                self._begin(stream)

        with self._changed:
            self._order(release)

    def cancel(self, request_id: str) -> None:
        """Take a stream out before the next step; an unknown id is ignored."""
        with self._changed:
            stream = self._streams.pop(request_id, None)
            if stream is not None:
                self._order(lambda: self._engine.abort_request([request_id, _WARMING + request_id]))

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a unit vector for each token sequence. Blocks."""
        with self._changed:
            if self._closed is not None:
                raise self._closed
            jobs = [_Embedding(tokens, Future()) for tokens in batch]
            for job in jobs:
                self._order(lambda job=job: self._begin_embedding(job))  # type: ignore[misc]
            self._prompt_tokens_total += sum(map(len, batch))
        return [job.done.result() for job in jobs]

    @property
    def can_sleep(self) -> bool:
        """Whether vLLM can give back what this device has."""
        return current_platform.is_cpu() or bool(self._engine.model_config.enable_sleep_mode)

    def sleep(self) -> None:
        """Give back keys and values and a device's memory; the weights stay in the process's. Blocks."""
        self._ask(lambda: fall_asleep(self._engine))

    def wake(self) -> None:
        """Be ready for requests again. Blocks."""
        self._ask(lambda: wake_up(self._engine))

    def stats(self) -> EngineStats:
        """Return a snapshot."""
        scheduler = self._engine.engine_core.engine_core.scheduler
        limit = sum(tensor.size for tensor in scheduler.kv_cache_config.kv_cache_tensors)
        with self._changed:
            running = min(scheduler.get_request_counts()[0], len(self._streams))
            return EngineStats(
                running=running,
                waiting=len(self._streams) - running,
                kv_bytes=round(scheduler.kv_cache_manager.usage * limit),
                kv_bytes_limit=limit,
                context_tokens=self.context_tokens,
                prompt_tokens_total=self._prompt_tokens_total,
                generated_tokens_total=self._generated_tokens_total,
            )

    def close(self) -> None:
        """Stop the thread after its step; requests that still run get an error. Idempotent."""
        with self._changed:
            self._closed = self._closed or Unavailable("the engine was closed")
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _order(self, order: Callable[[], None]) -> None:
        """Queue what the thread is to do before its next step. The caller holds the lock."""
        self._orders.append(order)
        self._changed.notify_all()

    def _ask(self, call: Callable[[], None]) -> None:
        """Have the thread make a call between two steps; return when it is made, or raise what it raises."""
        made: Future[None] = Future()

        def order() -> None:
            try:
                call()
            except Exception as error:  # noqa: BLE001 (the caller gets it)
                made.set_exception(error)
            else:
                made.set_result(None)

        with self._changed:
            if self._closed is not None:
                raise self._closed
            self._order(order)
        made.result()

    def _main(self, make: Callable[[], Any], made: Future[None]) -> None:
        try:
            self._engine = make()
        except QuickthawError as error:
            made.set_exception(error)
            return
        except Exception as error:  # noqa: BLE001 (vLLM raises anything; the caller of __init__ gets it)
            made.set_exception(StartFailed(f"vLLM does not start: {type(error).__name__}: {error}"))
            return
        random.seed()  # vLLM seeds these with a constant, and handlers run in this process
        np.random.seed()
        self._alive.add(self)
        made.set_result(None)
        try:
            while self._take_in():
                for output in self._engine.step():
                    self._absorb(output)
        except Exception as error:  # noqa: BLE001 (a bug of ours or vLLM's; no request may hang for it)
            _log.exception("the vLLM loop failed")
            failed = FunctionFailed(f"the engine failed: {type(error).__name__}: {error}")
            with self._changed:
                self._closed = failed
            self.on_failed(failed)
        self._end()

    def _take_in(self) -> bool:
        """Wait for work and carry out orders. False when the engine closes."""
        with self._changed:
            while not (self._closed or self._orders or self._engine.has_unfinished_requests()):
                self._changed.wait()
            if self._closed:
                return False
            orders, self._orders = self._orders, []
        for order in orders:
            order()
        return True

    def _end(self) -> None:
        with self._changed:
            streams, self._streams = list(self._streams.values()), {}
            jobs, self._embeddings = list(self._embeddings.values()), {}
            reason = self._closed or Unavailable("the engine was closed")
        for stream in streams:
            self._send(stream, reason)
        for job in jobs:
            job.done.set_exception(reason)
        self._alive.discard(self)
        self._ended.append(self._engine)
        while self._ended and not self._alive:
            self._ended.pop().engine_core.shutdown()

    def _hold(self, stream: Stream) -> None:
        """Have vLLM read what is known, so that it finds it in its prefix cache at the release."""
        self._add(stream, _WARMING + stream.id, stream.warming())

    def _begin(self, stream: Stream) -> None:
        if self._streams.get(stream.id) is not stream:
            return
        if stream.needs_steps:
            self._add(stream, stream.id, stream.params())
        else:
            self._deliver(stream, [stream.opening()])

    def _add(self, stream: Stream, request_id: str, params: Any) -> None:
        try:
            self._engine.add_request(request_id, {"prompt_token_ids": stream.tokens}, params)
        except ValueError as error:
            self._fail(stream, InvalidRequest(f"vLLM refuses the request: {error}"))

    def _begin_embedding(self, job: _Embedding) -> None:
        request_id = f"embed:{self._embedded}"
        self._embedded += 1
        self._embeddings[request_id] = job
        try:
            self._engine.add_request(request_id, {"prompt_token_ids": list(job.tokens)}, PoolingParams(task="embed"))
        except ValueError as error:
            self._embeddings.pop(request_id).done.set_exception(InvalidRequest(f"vLLM refuses the text: {error}"))

    def _absorb(self, output: Any) -> None:
        """Turn one request's part of a step into deltas, or into the vector that was asked for."""
        job = self._embeddings.pop(output.request_id, None)
        if job is not None:
            job.done.set_result(output.outputs.data.float().tolist())
            return
        warming = output.request_id.startswith(_WARMING)
        stream = self._streams.get(output.request_id.removeprefix(_WARMING))
        if stream is None:
            return
        if warming:
            stream.note_cached(output)
            if stream.on_held is not None:
                stream.on_held(len(stream.tokens))
            return
        try:
            deltas = stream.absorb(output)
        except InvalidRequest as error:
            self._engine.abort_request([stream.id])
            self._fail(stream, error)
            return
        self._deliver(stream, deltas)
        if output.finished and stream.answer.finish_reason is None:
            self._fail(stream, FunctionFailed(f"vLLM ended the answer: {output.outputs[0].finish_reason}"))

    def _deliver(self, stream: Stream, deltas: Sequence[Delta]) -> None:
        finished = bool(deltas) and deltas[-1].finish_reason is not None
        if finished:
            self._engine.abort_request([stream.id])  # where it was a stop string, vLLM would go on
        with self._changed:
            if finished and self._streams.pop(stream.id, None) is None:
                return
            self._generated_tokens_total += sum(len(delta.tokens) for delta in deltas)
        for delta in deltas:
            self._send(stream, delta)

    def _fail(self, stream: Stream, error: QuickthawError) -> None:
        with self._changed:
            self._streams.pop(stream.id, None)
        self._send(stream, error)

    def _send(self, stream: Stream, outcome: Delta | QuickthawError) -> None:
        try:
            stream.sink(outcome)
        except Exception:  # noqa: BLE001 (foreign code; the other requests go on)
            _log.exception("a sink failed for request %s", stream.id)
