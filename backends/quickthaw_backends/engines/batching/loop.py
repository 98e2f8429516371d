"""The batch loop: one thread that asks the scheduler what runs next, and runs it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence as Tokens
from dataclasses import replace

from quickthaw.errors import FunctionFailed, InvalidRequest, QuickthawError, Unavailable
from quickthaw.generation import Delta
from quickthaw_backends.engines.batching.prefixes import PrefixCache
from quickthaw_backends.engines.batching.runner import Chunk, Runner, Scores
from quickthaw_backends.engines.batching.scheduler import Budget, Plan, plan_step
from quickthaw_backends.engines.batching.sequence import Sequence
from quickthaw_backends.engines.batching.sharing import Sharing
from quickthaw_backends.engines.batching.speculation import worthwhile
from quickthaw_backends.engines.batching.step_times import StepTimes
from quickthaw_backends.engines.failure import Failures, OnFailed, ignore_failure
from quickthaw_backends.engines.texts import Texts
from quickthaw_platform.contracts import EngineStats

SPECULATING_REQUESTS = 8
"""With more in a step, guesses aren't looked for: a step of so many waits for arithmetic anywhere."""

_log = logging.getLogger(__name__)


class BatchLoop:
    """Owns all sequences of an engine. `submit`, `cancel`, `stats` and `close` may come from any thread."""

    on_failed: OnFailed = staticmethod(ignore_failure)

    def __init__(
        self,
        runner: Runner,
        budget: Budget,
        texts: Texts,
        *,
        kv_token_bytes: int,
        context_tokens: int,
        prefixes: PrefixCache | None = None,
    ) -> None:
        """`texts` shows tokens; `kv_token_bytes` is what a token takes in the cache; `prefixes` are there already."""
        self._runner = runner
        self._budget = budget
        self._texts = texts
        self._kv_token_bytes = kv_token_bytes
        self.context_tokens = context_tokens
        self._sharing = Sharing(runner, prefixes or PrefixCache(runner.drop, budget.kv_tokens // 2))
        self._step_times = StepTimes()
        self._failures = Failures()
        self._changed = threading.Condition()  # guards all that follows
        self._arrived: list[Sequence] = []
        self._cancelled: set[str] = set()
        self._held_changes: list[tuple[str, tuple[int, ...] | None]] = []  # tokens, or None: the release
        self._ids: set[str] = set()
        self._closed: QuickthawError | None = None
        self._running: list[Sequence] = []  # in order of arrival
        self._waiting: deque[Sequence] = deque()
        self._ended: list[Sequence] = []  # their last deltas are sent; what they computed is still to be kept
        self._prompt_tokens_total = 0
        self._generated_tokens_total = 0
        self._thread = threading.Thread(target=self._main, name="batch-loop", daemon=True)
        self._thread.start()

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence for the next step."""
        with self._changed:
            if self._closed is not None:
                raise self._closed
            if sequence.request.id in self._ids:
                raise InvalidRequest(f"request {sequence.request.id!r} is running already")
            self._ids.add(sequence.request.id)
            self._arrived.append(sequence)
            self._prompt_tokens_total += len(sequence.prompt)
            self._changed.notify_all()

    def extend(self, request_id: str, tokens: Tokens[int]) -> None:
        """Give a held request the next tokens of its answer; an unknown id is ignored."""
        with self._changed:
            self._held_changes.append((request_id, tuple(tokens)))
            self._changed.notify_all()

    def release(self, request_id: str) -> None:
        """Have a held request go on by itself; an unknown id is ignored."""
        with self._changed:
            self._held_changes.append((request_id, None))
            self._changed.notify_all()

    def cancel(self, request_id: str) -> None:
        """Take a request out before the next step; an unknown id is ignored."""
        with self._changed:
            if request_id in self._ids:
                self._cancelled.add(request_id)
                self._changed.notify_all()

    def stats(self) -> EngineStats:
        """Return a snapshot."""
        with self._changed:
            return EngineStats(
                running=len(self._running),
                waiting=len(self._waiting) + len(self._arrived),
                kv_bytes=sum(sequence.reserved for sequence in self._running) * self._kv_token_bytes,
                kv_bytes_limit=self._budget.kv_tokens * self._kv_token_bytes,
                context_tokens=self.context_tokens,
                prompt_tokens_total=self._prompt_tokens_total,
                generated_tokens_total=self._generated_tokens_total,
                prefix_bytes=self._sharing.tokens * self._kv_token_bytes,
            )

    def close(self) -> None:
        """Stop the thread after its step; requests that still run get an error. Idempotent."""
        with self._changed:
            self._closed = self._closed or Unavailable("the engine was closed")
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _main(self) -> None:
        try:
            while self._take_in():
                self._step()
                self._report()
        except Exception as error:  # noqa: BLE001 (a bug of ours; no request may hang for it)
            _log.exception("the batch loop failed")
            known = error if isinstance(error, FunctionFailed) else None
            failed = known or FunctionFailed(f"the engine failed: {type(error).__name__}: {error}")
            with self._changed:
                self._closed = failed
            self.on_failed(failed)
        with self._changed:
            left = [*self._running, *self._waiting, *self._arrived]
            self._running, self._waiting, self._arrived = [], deque(), []
            reason = self._closed or Unavailable("the engine was closed")
        for sequence in left:
            self._send(sequence, reason)

    def _take_in(self) -> bool:
        """Wait for work; take cancels and arrivals in. False when the engine closes."""
        with self._changed:
            while not (self._closed or self._has_work()):
                self._changed.wait()
            if self._closed:
                return False
            self._waiting.extend(self._arrived)
            self._arrived = []
            for sequence in [*self._running, *self._waiting]:
                if sequence.request.id in self._cancelled:
                    self._forget(sequence)
            self._cancelled.clear()
            self._take_in_held()
            at_once = [sequence for sequence in [*self._running, *self._waiting] if not sequence.needs_steps]
        for sequence in at_once:
            self._deliver(sequence, [sequence.opening(self._texts)])
        self._keep_ended()
        return True

    def _has_work(self) -> bool:
        """Whether anything is to be taken in or computed. The caller holds the lock."""
        told = self._arrived or self._cancelled or self._held_changes
        return bool(told) or any(not sequence.idle for sequence in [*self._running, *self._waiting])

    def _take_in_held(self) -> None:
        """Extend and release held sequences. The caller holds the lock."""
        if not self._held_changes:
            return
        by_id = {s.request.id: s for s in [*self._running, *self._waiting] if s.held}
        for request_id, tokens in self._held_changes:
            if tokens is None and request_id in by_id:
                by_id.pop(request_id).on_held = None
            elif tokens is not None and request_id in by_id:
                by_id[request_id].extend(tokens)
        self._held_changes = []

    def _step(self) -> None:
        with self._changed:
            plan = self._plan()
            self._move(plan)
            working = [sequence for sequence in self._running if sequence.request.id in plan.chunks]
        if not working:
            return
        decoding = self._runner.speculates and all(sequence.view().decodes for sequence in working)
        chunks = self._chunks(working, plan, decoding=decoding)
        began = time.perf_counter()
        results = self._runner.run(chunks)
        if decoding:
            self._step_times.note(sum(len(chunk.tokens) for chunk in chunks), time.perf_counter() - began)
        for sequence, chunk, result in zip(working, chunks, results, strict=True):
            self._absorb(sequence, chunk, result)
        self._keep_ended()
        errors = [result for result in results if isinstance(result, Exception)]
        if failed := self._failures.note(errors[-1] if len(errors) == len(results) else None):
            raise failed

    def _plan(self) -> Plan:
        """Plan the next step; what is kept of earlier requests gives way to those that are there now."""
        held = sum(sequence.reserved - sequence.shared for sequence in self._running)
        room = self._budget.kv_tokens - self._sharing.tokens - held
        while True:
            waiting = self._sharing.offer(self._running, self._waiting, room // 2)
            budget = replace(self._budget, kv_tokens=self._budget.kv_tokens - self._sharing.tokens)
            plan = plan_step([s.view() for s in self._running], [s.view() for s in waiting], budget)
            if not (plan.lacks_room and self._sharing.evict()):
                return plan
            room = 0  # what gave way is not made again at once

    def _chunks(self, working: list[Sequence], plan: Plan, *, decoding: bool) -> list[Chunk]:
        """Return what a step computes of each request: known tokens, and where all only decode, guessed ones."""
        for sequence in working:
            self._runner.reserve(sequence.cache, sequence.reserved)
        if decoding and len(working) <= SPECULATING_REQUESTS:
            self._speculate(working)
        return [self._chunk(sequence, plan.chunks[sequence.request.id]) for sequence in working]

    def _speculate(self, working: list[Sequence]) -> None:
        """Have those guess whose guesses give more tokens a second; what is left of the step's tokens is shared."""
        most = max(0, self._budget.step_tokens - len(working)) // len(working)
        guesses = [sequence.likely(most) for sequence in working]
        for sequence, guess, length in zip(working, guesses, worthwhile(guesses, self._step_times), strict=True):
            sequence.guess = guess.tokens[:length]

    def _chunk(self, sequence: Sequence, count: int) -> Chunk:
        tokens = [*sequence.tokens(sequence.computed, count), *sequence.guess]
        rows = len(tokens) if sequence.scores_prompt else 1 + len(sequence.guess)
        return Chunk(sequence.cache, tokens, sequence.computed, rows)

    def _report(self) -> None:
        """Tell the owners of held sequences that they are caught up."""
        with self._changed:
            held = [sequence for sequence in [*self._running, *self._waiting] if sequence.held]
        for sequence in held:
            sequence.report()

    def _move(self, plan: Plan) -> None:
        """Change who runs and who has which room."""
        by_id = {sequence.request.id: sequence for sequence in [*self._running, *self._waiting]}
        for request_id in plan.preempt:
            sequence = by_id[request_id]
            self._sharing.abandon(sequence)
            self._running.remove(sequence)
            self._waiting.appendleft(sequence)
        for request_id, tokens in plan.reserve.items():
            sequence = by_id[request_id]
            if sequence.reserved == 0:
                self._sharing.begin(sequence)
                self._waiting.remove(sequence)
                self._running.append(sequence)
            sequence.reserved = tokens

    def _absorb(self, sequence: Sequence, chunk: Chunk, result: Scores | Exception) -> None:
        """Turn a step's result into deltas; what goes wrong fails this request only."""
        try:
            if isinstance(result, Exception):
                raise result
            guessed = len(sequence.guess)
            deltas = sequence.absorb(len(chunk.tokens) - guessed, result, self._texts)
            if guessed and self._runner.sharing is not None:
                self._runner.sharing.cut(sequence.cache, sequence.computed)
        except Exception as error:  # noqa: BLE001 (model code raises anything; the error goes to the request)
            sequence.computed = 0  # nothing of it is kept
            with self._changed:
                self._forget(sequence)
            known = error if isinstance(error, QuickthawError) else None
            self._send(sequence, known or FunctionFailed(f"the model failed: {type(error).__name__}: {error}"))
            return
        self._deliver(sequence, deltas)

    def _deliver(self, sequence: Sequence, deltas: list[Delta]) -> None:
        with self._changed:
            self._generated_tokens_total += sum(len(delta.tokens) for delta in deltas)
            if deltas and deltas[-1].finish_reason is not None:
                self._leave(sequence)
                self._ended.append(sequence)
            if sequence.request.id in self._cancelled:
                return
        for delta in deltas:
            self._send(sequence, delta)

    def _keep_ended(self) -> None:
        """Keep for others what ended requests have computed. Copies take milliseconds: all tokens are sent before."""
        ended, self._ended = self._ended, []
        for sequence in ended:
            with self._changed:
                self._sharing.end(sequence)

    def _forget(self, sequence: Sequence) -> None:
        """Drop a sequence; its cache is kept for others, or goes too. The caller holds the lock."""
        self._sharing.end(sequence)
        self._leave(sequence)

    def _leave(self, sequence: Sequence) -> None:
        """Take a sequence out of those that run or wait. The caller holds the lock."""
        self._ids.discard(sequence.request.id)
        self._running = [other for other in self._running if other is not sequence]
        self._waiting = deque(other for other in self._waiting if other is not sequence)

    def _send(self, sequence: Sequence, outcome: Delta | QuickthawError) -> None:
        try:
            sequence.sink(outcome)
        except Exception:  # noqa: BLE001 (foreign code; the other requests go on)
            _log.exception("a sink failed for request %s", sequence.request.id)
