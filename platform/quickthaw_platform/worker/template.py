"""A template: a process that has prepared one checkpoint for one engine, and forks instances of it."""

from __future__ import annotations

import gc
import os
import socket
import traceback
from functools import partial

from quickthaw.errors import QuickthawError, StartFailed
from quickthaw.types import Isolation, Network
from quickthaw_platform import plugins
from quickthaw_platform.cage import entering, kernel
from quickthaw_platform.cage.forks import fork_for
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.cage.order import CageOrder
from quickthaw_platform.contracts import Checkpoint, Engine, Settles
from quickthaw_platform.control_groups.joining import Joining
from quickthaw_platform.worker import checkpoint_frames, forking, frames, instance, priming
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.prepared_engine import PreparedEngine


def main(control: socket.socket, order: Frame, checkpoint: Checkpoint, grant: Grant) -> None:
    """Prepare what `order` names, say `prepared` or `failed`, then fork instances until the agent goes."""
    frames.close_all_fds_but({control.fileno(), *checkpoint_frames.descriptors(checkpoint)})
    forking.name_process("qt-template")
    kernel.become_subreaper()  # of instances that are forked into namespaces, and of what others leave behind
    try:
        engine = _prepare(control, order, checkpoint)
    except QuickthawError as error:
        frames.send(control, {"t": "failed", "error": error.to_json()})
        return
    except Exception as error:  # noqa: BLE001 - an engine is a plugin: whatever it raises is the cause of the failure
        failed = StartFailed(f"preparing {_name(order)} failed: {type(error).__name__}: {error}")
        frames.send(control, {"t": "failed", "error": failed.to_json()})
        return
    parent = forking.Parent(control, forking.TEMPLATE_PATIENCE_SECONDS)
    if grant.level is not Isolation.NONE:
        entering.make_ready()
    frames.send(control, {"t": "prepared"})
    prepared = PreparedEngine(engine, order["engine"], order["options"], checkpoint, grant)
    parent.serve(partial(_handle, parent, prepared), partial(_settle, engine))


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


def _prepare(control: socket.socket, order: Frame, checkpoint: Checkpoint) -> Engine:
    engine = plugins.usable_engine(order["engine"])()
    forking.single_threaded_torch()

    def stage(name: str, seconds: float) -> None:
        frames.send(control, {"t": "stage", "name": name, "seconds": seconds})

    engine.prepare(checkpoint, order["options"], stage)
    gc.collect()
    gc.freeze()
    return engine


def _name(order: Frame) -> str:
    manifest = order["checkpoint"]["manifest"]
    return f"checkpoint {manifest.get('name', order['checkpoint']['id'])!r} for engine {order['engine']!r}"


def _handle(parent: forking.Parent, prepared: PreparedEngine, frame: Frame, receiver: frames.Receiver) -> None:
    match frame["t"]:
        case "instance":
            _fork_instance(parent, prepared, frame, receiver)
        case "prime":
            _fork_primed(parent, prepared, frame, receiver)


def _fork_primed(parent: forking.Parent, prepared: PreparedEngine, frame: Frame, receiver: frames.Receiver) -> None:
    def serve(primed: forking.Parent) -> None:
        primed.serve(partial(_handle, primed, prepared))

    with socket.socket(fileno=receiver.take_fd()) as end:
        pid = forking.fork(lambda: priming.main(prepared, frame, end, serve))
    parent.adopt(forking.Child(pid, forks_instances=True))
    frames.send(parent.control, {"t": "forked-primed", "key": frame["key"], "pid": pid})


def _fork_instance(parent: forking.Parent, prepared: PreparedEngine, frame: Frame, receiver: frames.Receiver) -> None:
    task = prepared.checkpoint.manifest.get("task", "generate")
    ends = instance.Ends(*(receiver.take_fd() for _ in range(4 if frame["cage"]["network"] == Network.EGRESS else 3)))
    described = frame["adapter"]
    adapter = None if described is None else checkpoint_frames.from_frame(described, receiver.take_fd)
    files = checkpoint_frames.descriptors(adapter)
    joining = Joining(frame["group"])
    try:
        cage = CageOrder.of(frame["cage"], prepared.grant)
        pid = fork_for(
            cage,
            forking.fork,
            lambda pid: instance.main(
                prepared.engine, task, frame, cage, pid, ends, joining, adapter, [*prepared.files, *files]
            ),
            partial(_announce, ends),
        )
    except QuickthawError as error:
        _send_once(ends.link, {"t": "failed", "error": error.to_json()})
    else:
        parent.adopt(forking.Child(pid, leaves_orphans=cage.level is Isolation.PROCESS))
        frames.send(parent.control, {"t": "forked", "id": frame["id"], "pid": pid})
        joining.move(pid)
    finally:
        joining.close()
        for fd in (*ends.all(), *files):
            os.close(fd)


def _announce(ends: instance.Ends, pid: int) -> None:
    """Tell the agent, ahead of all that the instance says, which process it is: it may not know that itself."""
    _send_once(ends.link, {"t": "hello", "pid": pid})


def _send_once(link: int, frame: Frame) -> None:
    with socket.socket(fileno=os.dup(link)) as end:
        frames.send(end, frame)
