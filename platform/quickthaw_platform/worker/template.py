"""A template: a process that has prepared one checkpoint for one engine, and forks instances of it."""

from __future__ import annotations

import gc
import os
import socket
import traceback
from functools import partial

from quickthaw.errors import QuickthawError, StartFailed
from quickthaw_platform import plugins
from quickthaw_platform.contracts import Engine, Settles
from quickthaw_platform.worker import checkpoint_frames, forking, frames, instance, priming
from quickthaw_platform.worker.frames import Frame


def main(control: socket.socket, order: Frame) -> None:
    """Prepare what `order` names, say `prepared` or `failed`, then fork instances until the agent goes."""
    frames.close_all_fds_but({control.fileno()})
    forking.name_process("qt-template")
    try:
        engine = _prepare(control, order)
    except QuickthawError as error:
        frames.send(control, {"t": "failed", "error": error.to_json()})
        return
    except Exception as error:  # noqa: BLE001 - an engine is a plugin: whatever it raises is the cause of the failure
        failed = StartFailed(f"preparing {_name(order)} failed: {type(error).__name__}: {error}")
        frames.send(control, {"t": "failed", "error": failed.to_json()})
        return
    parent = forking.Parent(control, forking.TEMPLATE_PATIENCE_SECONDS)
    frames.send(control, {"t": "prepared"})
    parent.serve(partial(_handle, parent, engine, order), partial(_settle, engine))


def _settle(engine: Engine) -> None:
    """Have ready what an engine puts off, for instances forked from now on; where that fails all goes on."""
    if not isinstance(engine, Settles):
        return
    try:
        engine.settle()
    except Exception:  # noqa: BLE001 - an engine is a plugin; what needs this says what is wrong when it is asked for
        traceback.print_exc()
    gc.collect()
    gc.freeze()


def _prepare(control: socket.socket, order: Frame) -> Engine:
    engine = plugins.usable_engine(order["engine"])()
    forking.single_threaded_torch()

    def stage(name: str, seconds: float) -> None:
        frames.send(control, {"t": "stage", "name": name, "seconds": seconds})

    engine.prepare(checkpoint_frames.from_frame(order["checkpoint"]), order["options"], stage)
    gc.collect()
    gc.freeze()
    return engine


def _name(order: Frame) -> str:
    manifest = order["checkpoint"]["manifest"]
    return f"checkpoint {manifest.get('name', order['checkpoint']['id'])!r} for engine {order['engine']!r}"


def _handle(parent: forking.Parent, engine: Engine, order: Frame, frame: Frame, receiver: frames.Receiver) -> None:
    match frame["t"]:
        case "instance":
            _fork_instance(parent, engine, order, frame, receiver)
        case "prime":
            _fork_primed(parent, engine, order, frame, receiver)


def _fork_primed(parent: forking.Parent, engine: Engine, order: Frame, frame: Frame, receiver: frames.Receiver) -> None:
    def serve(primed: forking.Parent) -> None:
        primed.serve(partial(_handle, primed, engine, order))

    with socket.socket(fileno=receiver.take_fd()) as end:
        pid = forking.fork(lambda: priming.main(engine, order, frame, end, serve))
    parent.adopt(pid)
    frames.send(parent.control, {"t": "forked-primed", "key": frame["key"], "pid": pid})


def _fork_instance(
    parent: forking.Parent, engine: Engine, order: Frame, frame: Frame, receiver: frames.Receiver
) -> None:
    task = order["checkpoint"]["manifest"].get("task", "generate")
    ends = (receiver.take_fd(), receiver.take_fd(), receiver.take_fd())
    pid = forking.fork(lambda: instance.main(engine, task, frame, *ends))
    for fd in ends:
        os.close(fd)
    parent.adopt(pid)
    frames.send(parent.control, {"t": "forked", "id": frame["id"], "pid": pid})
