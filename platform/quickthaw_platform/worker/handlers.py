"""User code: importing a version's handler, and running it for one invocation after another."""

from __future__ import annotations

import inspect
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from quickthaw import awaiting, folder
from quickthaw.app import Function
from quickthaw.errors import (
    HandlerFailed,
    InvalidRequest,
    MemoryLimitExceeded,
    QuickthawError,
    StartFailed,
)
from quickthaw.generation import Delta
from quickthaw.schema import Signature
from quickthaw_platform.contracts import Engine
from quickthaw_platform.worker.before_compression import counted
from quickthaw_platform.worker.bounds import NO_BOUNDS, Bounds
from quickthaw_platform.worker.capture import Capture, current_invocation
from quickthaw_platform.worker.delta_stream import passed_on
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.model import BoundModel
from quickthaw_platform.worker.output import Collector
from quickthaw_platform.worker.replay import Replay, Stopped

HandlerFunction = Callable[..., Any]

_MAX_TRACEBACK_CHARACTERS = 4000
_TORCH_OUT_OF_MEMORY = "can't allocate memory"


def built_in(model: BoundModel, **given: Any) -> Any:
    """Serve a function without code: `messages` are answered, a `prompt` is continued, `input` is embedded.

    A `prompt` with a `suffix` is filled in.
    """
    known = [name for name in ("messages", "prompt", "input") if name in given]
    others = set(given) - set(known) - ({"suffix"} if known == ["prompt"] else set())
    if len(known) != 1 or others:
        raise InvalidRequest(
            f"give exactly one of messages, prompt (with or without suffix) and input; got {sorted(given) or 'nothing'}"
        )
    if known == ["messages"]:
        return model.chat(given["messages"])
    model.refuse_chat(known[0])
    if known == ["prompt"]:
        return model.complete(given["prompt"], given.get("suffix"))
    return model.embed(given["input"])


def load(bundle: Path, file: str, name: str) -> HandlerFunction:
    """Import `file` of the bundle and return what is called `name` in it; StartFailed has the cause.

    What the SDK's decorator has wrapped is returned as that: a Function.
    """
    folder.forget_modules()
    _check_names(bundle, file)
    sys.path.insert(0, str(bundle))
    try:
        module = folder.run(bundle, file)
    except BaseException as error:
        raise StartFailed(f"importing {file} failed: {describe(error, bundle)}{_advice(error, bundle)}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise StartFailed(f"{file} does not hold {name!r}")
    return cast("HandlerFunction", found)


def _check_names(bundle: Path, handlers_file: str) -> None:
    """Refuse a module of the bundle that would never be imported, as the platform has imported another of its name."""
    for path in bundle.iterdir():
        loaded = sys.modules.get(path.stem)
        file = getattr(loaded, "__file__", None)
        is_module = path.name != handlers_file and (path.suffix == ".py" or any(path.glob("*.py")))
        if is_module and loaded is not None and not (file and Path(file).is_relative_to(bundle)):
            raise StartFailed(f"{path.name} has the name of a module that the platform itself uses; rename it")


def _advice(error: BaseException, bundle: Path) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"\nthe module {error.name!r} is neither in the function's bundle nor installed on the node"
    return _missing_file(error, bundle)


def _missing_file(error: BaseException, bundle: Path) -> str:
    """Say how a file gets into the bundle, where one that the function reads is not there."""
    name = getattr(error, "filename", None)
    if not isinstance(error, FileNotFoundError) or not isinstance(name, str):
        return ""
    path = Path(name)
    if path.is_absolute() and not path.is_relative_to(bundle):
        return ""
    inside = path.relative_to(bundle) if path.is_absolute() else path
    return f"\nfiles beside the function are deployed where App(include=[…]) names them, here {str(inside)!r}"


def describe(error: BaseException, bundle: Path) -> str:
    """Return type, message and the user's part of the traceback (frames inside the bundle)."""
    lines = traceback.format_exception_only(type(error), error)
    frames = [
        f'  File "{Path(frame.filename).relative_to(bundle)}", line {frame.lineno}, in {frame.name}\n    {frame.line}'
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(bundle)
    ]
    text = "".join(lines).strip().replace(f"{bundle}/", "") + ("\n" + "\n".join(frames) if frames else "")
    text = text.encode(errors="backslashreplace").decode()  # half a surrogate pair cannot be sent
    return text if len(text) <= _MAX_TRACEBACK_CHARACTERS else text[:_MAX_TRACEBACK_CHARACTERS] + " …"


def as_error(error: BaseException, bundle: Path) -> QuickthawError:
    """Map what a handler raised to the error that its caller gets."""
    if isinstance(error, QuickthawError):
        return error
    told = describe(error, bundle)
    if isinstance(error, MemoryError) or _TORCH_OUT_OF_MEMORY in told:
        return MemoryLimitExceeded(f"the handler allocated past its memory limit: {told}")
    if isinstance(error, SystemExit):
        return HandlerFailed(f"the handler exited: {told}")
    return HandlerFailed(f"the handler raised {told}{_missing_file(error, bundle)}")


def error_body(error: BaseException, bundle: Path) -> dict[str, Any]:
    """Return what a handler raised as its caller gets it, though the exception's own code fail when it is told."""
    try:
        return as_error(error, bundle).to_json()
    except Exception as untold:  # noqa: BLE001 - whatever the code of an exception that a user wrote raises
        reason = f"the handler raised {type(error).__name__}, and telling of it raised {type(untold).__name__}"
        return HandlerFailed(reason).to_json()


@dataclass(frozen=True, slots=True)
class _Run:
    """An invocation that runs."""

    invocation: str
    life: int  # which run of the invocation here, by the agent's count
    model: BoundModel
    replay: Replay
    request: Mapping[str, Any]


class Runner:
    """Runs the handler, one thread an invocation, and sends what it puts out."""

    def __init__(
        self,
        engine: Engine,
        handler: HandlerFunction,
        *,
        bundle: Path,
        max_output: int,
        bounds: Bounds = NO_BOUNDS,
        captures: tuple[Capture, ...],
        resumable: bool,
        send: Callable[[Frame], None],
        send_soon: Callable[[Frame], None],
        on_prefill: Callable[[float], None],
        on_output: Callable[[], None],
    ) -> None:
        """`send_soon` takes a frame that may wait for others, and never blocks. `on_output` is called at each output,
        before that is sent. Both are called from the invocation's thread or, where its handler passes on what the model
        says, from the engine's; a first output never is.

        `resumable`: model output is recorded, so that the invocation can go on elsewhere.
        """
        self._engine = engine
        self._handler: HandlerFunction = handler.handler if isinstance(handler, Function) else handler
        self._signature = None if handler is built_in else _signature(handler)
        self._bundle = bundle
        self._max_output = max_output
        self._bounds = bounds
        self._captures = captures
        self._send = send
        self._send_soon = send_soon
        self._on_prefill = on_prefill
        self._on_output = on_output
        self._resumable = resumable
        self._running: dict[int, _Run] = {}  # by life

    def invoke(
        self, invocation: str, life: int, request: Mapping[str, Any], recorded: Mapping[str, Any] | None = None
    ) -> None:
        """Start the handler on a request; what comes of it is sent with its `life`.

        The same invocation may run here in another life, which was given up and has not ended yet.
        `recorded` is what an earlier owner recorded: `outputs`, `records`, and whether more of both may come (`open`).
        """
        recorded = recorded or {}
        replay = Replay(is_open=recorded.get("open", False))
        replay.extend(recorded.get("outputs", ()), recorded.get("records", ()))
        sampling = request.get("sampling") or {}
        seed = request.get("seed")
        model = BoundModel(
            self._engine,
            f"{invocation}/{life}",  # one that comes back may find its old requests still in the batch
            seed=int(seed if seed is not None else sampling.get("seed") or 0),
            requested=sampling,
            requested_chat=request.get("chat"),
            bounds=self._bounds,
            on_prefill=self._on_prefill,
            replay=replay,
            record=partial(self._record, invocation, life) if self._resumable else None,
            on_caught_up=partial(self._report_held, invocation, life),
        )
        run = self._running[life] = _Run(invocation, life, model, replay, request)
        threading.Thread(target=self._run, args=(run,), name=f"handler-{invocation}", daemon=True).start()

    def extend(self, life: int, more: Mapping[str, Any]) -> None:
        """Add to what is recorded of a run whose record is open; `last`: and close it. Ignores unknown ones."""
        run = self._running.get(life)
        if run is None:
            return
        run.replay.extend(more["outputs"], more["records"])
        if more.get("last", False):
            run.replay.close()
        elif not run.model.is_behind:
            self._report_held(run.invocation, life)

    def cancel(self, life: int) -> None:
        """Stop a run at its next token. Unknown ones are ignored."""
        run = self._running.get(life)
        if run is not None:
            run.model.stop()

    def _record(self, invocation: str, life: int, mark: str, delta: Delta) -> None:
        frame = {"t": "record", "invocation": invocation, "life": life, "mark": mark, "delta": delta.to_json()}
        self._send_soon(frame)

    def _report_held(self, invocation: str, life: int) -> None:
        self._send({"t": "held", "invocation": invocation, "life": life})

    def _run(self, run: _Run) -> None:
        invocation, model = run.invocation, run.model
        current_invocation.set(invocation)
        try:
            value = self._serve(run, run.request.get("input") or {})
            model.recorder.end()
            usage = counted(model.usage, run.request, model.count_tokens)
            last: Frame = {"t": "done", "value": value, "usage": usage.model_dump(exclude_none=True)}
        except Stopped:
            last = {"t": "ended"}
        except BaseException as error:  # noqa: BLE001 - whatever user code raises, SystemExit too, is the answer
            last = {"t": "error", "error": error_body(error, self._bundle)}
        model.stop()
        del self._running[run.life]
        for capture in self._captures:
            capture.end(invocation)
        self._send_last({"invocation": invocation, "life": run.life}, last)

    def _send_last(self, whose: Frame, last: Frame) -> None:
        try:
            if last["t"] == "done":
                self._on_output()
            self._send(whose | last)
        except (TypeError, ValueError, OverflowError) as error:
            failed = HandlerFailed(f"the handler's result cannot be sent: {error}")
            self._send(whose | {"t": "error", "error": failed.to_json()})

    def _serve(self, run: _Run, given: Mapping[str, Any]) -> Any:
        collector = Collector(self._max_output)
        value = self._call(run.model, given)
        if not isinstance(value, Iterator):
            run.replay.end(0)
            return collector.returned(value)
        run.replay.end(self._put_out(run, collector, value))
        return collector.result()

    def _put_out(self, run: _Run, collector: Collector, values: Iterator[object]) -> int:
        """Send all that a handler yields, or passes on from its model; returns how many outputs that was."""
        outputs = 0
        sent = False

        def take(item: object) -> None:
            nonlocal outputs, sent
            body = collector.chunk(item)
            outputs += 1
            if run.replay.said(outputs - 1, body):
                return
            mark = run.model.recorder.mark_of(item)
            self._on_output()
            send, sent = self._send_soon if sent else self._send, True
            frame = {"t": "chunk", "invocation": run.invocation, "life": run.life, "at": time.monotonic(), "mark": mark}
            send(frame | body)

        for item in values:
            take(item)
            stream = passed_on(values)
            if stream is not None and not stream.over and run.replay.is_over(outputs):
                stream.relay(take)
        return outputs

    def _call(self, model: BoundModel, given: Mapping[str, Any]) -> Any:
        if self._handler is built_in:
            return built_in(model, **given)
        values = given if self._signature is None else self._signature.read(given)
        try:
            inspect.signature(self._handler).bind(model, **values)
        except TypeError as error:
            raise InvalidRequest(f"the input does not suit the handler: {error}", param="input") from error
        return awaiting.settled(self._handler(model, **values))


def _signature(handler: HandlerFunction) -> Signature | None:
    """Return how the handler's arguments are read; None where its signature cannot be: then they are passed as sent."""
    if isinstance(handler, Function):
        return handler.signature
    try:
        return Signature(handler)
    except (QuickthawError, ValueError):
        return None
