"""A primed template's process: a fork of a template that reads what a version's prompts begin with, then forks too."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from quickthaw.errors import NotServable, QuickthawError, StartFailed
from quickthaw_platform.cage import kernel
from quickthaw_platform.contracts import Built
from quickthaw_platform.worker import forking, frames
from quickthaw_platform.worker.beginning import LEAST_PLAIN_TOKENS, Beginning, file_digest
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.own_memory import own_bytes
from quickthaw_platform.worker.prepared_engine import PreparedEngine

_CAP_SYS_NICE = 1 << 23
_LEAST_RLIMIT_NICE = 20
"""With this limit a process may take a nice value of 0, and so the ordinary scheduling policy, by itself."""


def main(
    prepared: PreparedEngine, order: Frame, control: socket.socket, serve: Callable[[forking.Parent], None]
) -> None:
    """Prime the engine that a template prepared, say `primed` or `failed`, then fork instances until the agent goes.

    `order` is the one to prime.
    """
    frames.close_all_fds_but({control.fileno(), *prepared.files})
    forking.name_process("qt-primed")
    kernel.become_subreaper()  # as its template is
    try:
        primed = _prime(prepared, order, control)
    except QuickthawError as error:
        frames.send(control, {"t": "failed", "error": error.to_json()})
        return
    except Exception as error:  # noqa: BLE001 - an engine is a plugin: whatever it raises is the cause of the failure
        failed = StartFailed(f"{type(error).__name__}: {error}")
        frames.send(control, {"t": "failed", "error": failed.to_json()})
        return
    gc.collect()
    gc.freeze()
    parent = forking.Parent(control, forking.INSTANCE_PATIENCE_SECONDS)
    frames.send(control, primed | {"t": "primed", "bytes": own_bytes()})
    serve(parent)


def _prime(prepared: PreparedEngine, order: Frame, control: socket.socket) -> Frame:
    engine = prepared.engine
    with background():
        beginning = Beginning.from_frame(order["beginning"])
        tokens = beginning.tokens_by(engine.tokenizer)
        if not tokens:
            raise NotServable("prompts that begin so have no token in common")
        if beginning.plain and len(tokens) < LEAST_PLAIN_TOKENS:
            raise NotServable(f"the model's chat template puts only {len(tokens)} tokens before the user's words")
        if len(tokens) >= engine.context_tokens:
            raise NotServable(f"the beginning has {len(tokens):,} tokens, the context only {engine.context_tokens:,}")
        build = engine.build if isinstance(engine, Built) else ""
        digest = file_digest(prepared.name, prepared.options, build, processor(), tokens)
        frames.send(control, {"t": "prefix", "digest": digest})
        file = Path(_answer(control)["path"])
        return {"tokens": len(tokens), "computed": engine.prime(tokens, file)}


def _answer(control: socket.socket) -> Frame:
    """Return the next frame; an agent that has gone needs none of this any more."""
    receiver = frames.Receiver(control)
    while (received := receiver.read()) is not None:
        if received:
            return received[0]
    os._exit(0)


@contextlib.contextmanager
def background() -> Iterator[None]:
    """Run at the lowest priority meanwhile: where the process may come back from that, only on idle processors.

    Some containers forbid to change it; then it stays as it is.
    """
    policy = os.SCHED_IDLE if _may_come_back() else os.SCHED_BATCH
    before = os.sched_getscheduler(0)
    try:
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except PermissionError:
        before = policy = os.SCHED_OTHER
    try:
        yield
    finally:
        if policy != before:
            os.sched_setscheduler(0, before, os.sched_param(0))


def _may_come_back() -> bool:
    """Whether the kernel lets this process leave SCHED_IDLE again (sched(7)); from SCHED_BATCH it always does."""
    status = Path("/proc/self/status").read_text()
    effective = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    return bool(effective & _CAP_SYS_NICE) or resource.getrlimit(resource.RLIMIT_NICE)[0] >= _LEAST_RLIMIT_NICE


def processor() -> str:
    """Describe this machine's kind of processor: what engines choose their arithmetic by."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {' '.join(sorted(flags.split()))}"
