"""The zygote: a fork server that has imported the heavy modules once, and forks a template for each checkpoint.

`python -m quickthaw_platform.worker.zygote FD ISOLATION [MODULE…]`; it ends when the agent's end of FD closes, and
while it imports, when it would not see that, with the agent. ISOLATION is the level that is wanted of instances; empty:
the strongest one. It runs one thread, no tensor arithmetic and never touches CUDA, so that its forks are sound.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
from functools import partial

from quickthaw.types import Isolation
from quickthaw_platform.cage import kernel
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.cage.probing import probe
from quickthaw_platform.parent_death import die_with_parent, outlive_parent
from quickthaw_platform.worker import checkpoint_frames, forking, frames, template
from quickthaw_platform.worker.frames import Frame


def main(arguments: list[str]) -> None:
    """Import the modules, say `ready`, serve until the agent goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    forking.name_process("qt-zygote")
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    for name in arguments[2:]:
        _preload(name)
    grant = probe(Isolation(arguments[1]) if arguments[1] else None, forking.fork)
    kernel.set_dumpable(False)
    forking.single_threaded_torch()
    gc.collect()
    gc.freeze()
    outlive_parent()
    parent = forking.Parent(control, forking.ZYGOTE_PATIENCE_SECONDS)
    frames.send(control, {"t": "ready", "isolation": grant.level.value, "why": grant.why})
    parent.serve(partial(_handle, parent, grant))


def _preload(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError as error:
        # An engine that needs the module will say so; the others need not suffer.
        print(f"the zygote goes without {name}: {error}", file=sys.stderr)


def _handle(parent: forking.Parent, grant: Grant, frame: Frame, receiver: frames.Receiver) -> None:
    fd = receiver.take_fd()
    checkpoint = checkpoint_frames.from_frame(frame["checkpoint"], receiver.take_fd)
    with socket.socket(fileno=fd) as end:
        pid = forking.fork(lambda: template.main(end, frame, checkpoint, grant))
    for file in checkpoint_frames.descriptors(checkpoint):
        os.close(file)
    parent.adopt(forking.Child(pid))
    frames.send(parent.control, {"t": "forked", "key": frame["key"], "pid": pid})


if __name__ == "__main__":
    main(sys.argv[1:])
