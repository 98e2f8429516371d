"""An instance: the process that serves one function version. It talks only to its agent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from quickthaw.errors import QuickthawError, StartFailed
from quickthaw.generation import Sampling
from quickthaw_platform.cage import entering
from quickthaw_platform.cage.order import CageOrder
from quickthaw_platform.contracts import (
    Checkpoint,
    Delta,
    Engine,
    GenerationRequest,
    Sleeps,
    TakesAdapters,
    TellsOfFailure,
)
from quickthaw_platform.control_groups.joining import Joining
from quickthaw_platform.worker import forking, frames, handlers, randomness, sandbox
from quickthaw_platform.worker.bounds import Bounds
from quickthaw_platform.worker.built_in import beginning_with
from quickthaw_platform.worker.capture import Capture, LineBudget, StreamName
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.overhearing import Sampler, overheard
from quickthaw_platform.worker.own_memory import own_bytes

ENGINE_FAILED = 70
"""The exit status of an instance whose engine can compute nothing any more."""

KV_SHARE = 0.5
"""The part of an instance's memory that its engine may use for the KV cache; the rest is the handler's."""


class Ends(NamedTuple):
    """The instance's ends of what leads to its agent, as descriptors."""

    link: int
    stdout: int
    stderr: int
    proxy: int | None = None  # takes the socket at which the node's proxy listens

    def all(self) -> list[int]:
        """Return those that there are."""
        return [fd for fd in self if fd is not None]


def main(
    engine: Engine,
    task: str,
    order: Frame,
    cage: CageOrder,
    pid: int,
    ends: Ends,
    joining: Joining,
    adapter: Checkpoint | None,
    files: Sequence[int],
) -> None:
    """Serve in a process just forked from the template; returns when the agent says `stop`.

    `pid` is its number out here; `joining` says when it is in its control group. `files` are the descriptors of
    weights, which are closed before the function's code runs: through them it could write what other instances compute
    with.
    """
    frames.close_all_fds_but({*ends.all(), *files, *joining.kept})
    forking.name_process("qt-instance")
    for standard, fd in ((1, ends.stdout), (2, ends.stderr)):
        os.dup2(fd, standard)
        os.close(fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    instance = Instance(engine, task, socket.socket(fileno=ends.link))
    try:
        entering.enter(cage, pid, ends.proxy)
        instance.stage("fork", time.monotonic() - order["sent_at"])
        instance.load(order, joining, adapter, files)
    except QuickthawError as error:
        instance.send({"t": "failed", "error": error.to_json()})
        return
    instance.serve()


class Instance:
    """The engine, the handler and the link to the agent."""

    def __init__(self, engine: Engine, task: str, link: socket.socket) -> None:
        self._engine = engine
        self._task = task
        self._link = link
        self._outbox = frames.Outbox(link)
        self._ready = False
        self._prefill_reported = False
        self._arrival_before = 0.0  # seconds that computing had waited for weights before this start
        self._arrival_at_start = 0.0
        self._runner: handlers.Runner

    def send(self, frame: Frame) -> None:
        """Send a frame to the agent; without an agent there is nothing left to do."""
        try:
            self._outbox.put(frame)
        except OSError:
            os._exit(0)

    def stage(self, name: str, seconds: float) -> None:
        """Report a stage of the start."""
        self.send({"t": "stage", "name": name, "seconds": seconds})

    def load(self, order: Frame, joining: Joining, adapter: Checkpoint | None, files: Sequence[int]) -> None:
        """Start the engine, import the handler, say `loaded`. Raises StartFailed with the cause."""
        captures = self._capture()
        bundle = Path(order["bundle"])
        sandbox.enter(Path(order["workdir"]), order["env"], bundle)
        threading.stack_size(sandbox.THREAD_STACK_BYTES)
        limit = self._limiter(order)
        started = time.monotonic()
        if isinstance(self._engine, TellsOfFailure):
            self._engine.on_failed = self._engine_failed
        self._adapt(adapter)  # its copy is beside what the function may allocate
        if order["device"] == "cpu":
            limit()
        self._start_engine(order)
        for fd in files:
            os.close(fd)
        if order["device"] != "cpu":
            limit()  # a CUDA context's own host memory is the platform's, not the function's
        joining.wait()  # before any code of the function
        engine_started = time.monotonic()
        self._arrival_at_start = self._engine.arrival_seconds
        self.stage("engine", engine_started - started - self._arrival_at_start)
        randomness.seed_anew()  # now, since engines seed them too, with a constant
        handler = self._load_handler(order, bundle)
        self.stage("handler", time.monotonic() - engine_started)
        self._runner = handlers.Runner(
            self._listened_to() if order["learn"] and self._task == "generate" else self._engine,
            handler,
            bundle=bundle,
            max_output=order["max_output"],
            bounds=Bounds(order["max_tokens"], order["max_tokens_limit"]),
            captures=captures,
            resumable=order["resumable"],
            send=self.send,
            send_soon=self._outbox.add,
            on_prefill=self._report_prefill,
            on_output=self._prove_ready,
        )
        self._outbox.start(order["output_interval"])
        self._say_loaded()

    def serve(self) -> None:
        """Take frames until `stop`, or until the agent goes: then the process ends at once."""
        receiver = frames.Receiver(self._link)
        while (received := receiver.read()) is not None:
            for frame in received:
                if frame["t"] == "stop":
                    self._engine.close()
                    return
                self._take(frame)
        os._exit(0)

    def _say_loaded(self) -> None:
        self.send({"t": "loaded", "can_sleep": isinstance(self._engine, Sleeps) and self._engine.can_sleep})

    def _sleep(self) -> None:
        """Give back what a device has, and say what memory is left to this process."""
        assert isinstance(self._engine, Sleeps)
        self._engine.sleep()
        self.send({"t": "asleep", "bytes": own_bytes()})

    def _wake(self, order: Frame) -> None:
        """Serve as another instance of the same version from now on."""
        assert isinstance(self._engine, Sleeps)
        self._engine.wake()
        self._ready = self._prefill_reported = False
        self._arrival_before = self._arrival_at_start = self._engine.arrival_seconds
        self.stage("wake", time.monotonic() - order["sent_at"])
        self._say_loaded()

    def _engine_failed(self, error: QuickthawError) -> None:
        """End the process: what runs goes on in another, from its last token. Here each further call would fail.

        An instance that has never been ready says why: that ends its start.
        """
        if not self._ready:
            self.send({"t": "failed", "error": error.to_json()})
        with contextlib.suppress(OSError):  # the agent has gone, too
            self._outbox.flush()
        os._exit(ENGINE_FAILED)

    def _take(self, frame: Frame) -> None:
        match frame["t"]:
            case "invoke":
                self._runner.invoke(frame["invocation"], frame["life"], frame["request"], frame.get("recorded"))
            case "extend":
                self._runner.extend(frame["life"], frame)
            case "cancel":
                self._runner.cancel(frame["life"])
                self.send({"t": "heard", "life": frame["life"]})
            case "sleep":
                self._sleep()
            case "wake":
                self._wake(frame)
            case "warmup":
                threading.Thread(target=self._warm_up, name="warmup", daemon=True).start()

    @staticmethod
    def _limiter(order: Frame) -> Callable[[], None]:
        threads = order["concurrency"] + order["threads"] + sandbox.SPARE_THREADS
        return lambda: sandbox.limit_memory(order["memory_bytes"], threads)

    def _capture(self) -> tuple[Capture, ...]:
        budget = LineBudget()

        def emit(invocation: str | None, stream: StreamName, line: str) -> None:
            self.send({"t": "log", "invocation": invocation, "stream": stream, "line": line})

        captures = (Capture("stdout", emit, budget), Capture("stderr", emit, budget))
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = captures  # type: ignore[misc]
        return captures

    def _adapt(self, adapter: Checkpoint | None) -> None:
        if adapter is None:
            return
        if not isinstance(self._engine, TakesAdapters):
            raise StartFailed("this node's version of the engine takes no adapters")
        with _as_start_failed("the engine did not take the adapter"):
            self._engine.adapt(adapter)

    def _start_engine(self, order: Frame) -> None:
        with _as_start_failed("the engine did not start"):
            self._engine.start(order["device"], order["threads"], int(order["memory_bytes"] * KV_SHARE))

    @staticmethod
    def _load_handler(order: Frame, bundle: Path) -> handlers.HandlerFunction:
        named = order["handler"]
        if named is None:
            return beginning_with(order["system"], order["tools"])
        return handlers.load(bundle, named["file"], named["object"])

    def _listened_to(self) -> Engine:
        sampler = Sampler(lambda sample: self.send({"t": "prompt", "sample": sample}))
        return overheard(self._engine, sampler.hear)

    def _prove_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self.send({"t": "ready"})

    def _report_prefill(self, seconds: float) -> None:
        if not self._prefill_reported:
            self._prefill_reported = True
            arrival = self._engine.arrival_seconds - self._arrival_at_start
            self.stage("arrival", self._engine.arrival_seconds - self._arrival_before)
            self.stage("prefill", max(0.0, seconds - arrival))

    def _warm_up(self) -> None:
        """Generate one token, or embed one: what has never worked is not ready."""
        started = time.monotonic()
        try:
            tokens = self._engine.tokenizer.encode("a") or [0]
            if self._task == "embed":
                self._engine.embed([tokens])
            else:
                self._generate_one(tokens)
        except Exception as error:  # noqa: BLE001 - an engine is a plugin: whatever it raises is the cause
            cause = error if isinstance(error, QuickthawError) else StartFailed(f"{type(error).__name__}: {error}")
            self.send({"t": "failed", "error": cause.to_json()})
            return
        self._report_prefill(time.monotonic() - started)
        self._prove_ready()

    def _generate_one(self, tokens: list[int]) -> None:
        ended = threading.Event()
        failures: list[QuickthawError] = []

        def sink(item: Delta | QuickthawError) -> None:
            if isinstance(item, QuickthawError):
                failures.append(item)
                ended.set()
            elif item.finish_reason is not None:
                ended.set()

        sampling = Sampling(max_tokens=1, seed=0, temperature=0)
        self._engine.submit(GenerationRequest("warmup", tuple(tokens), sampling), sink)
        ended.wait()
        if failures:
            raise failures[0]


@contextmanager
def _as_start_failed(what: str) -> Iterator[None]:
    """Turn what an engine, which is a plugin, raises into an error of the start."""
    try:
        yield
    except QuickthawError:
        raise
    except Exception as error:
        raise StartFailed(f"{what}: {type(error).__name__}: {error}") from error
