"""The zygote: a fork server that has imported the heavy modules once, and forks a template for each checkpoint.

`python -m quickthaw_platform.worker.zygote FD [MODULE…]`; it ends when the agent's end of FD closes, and while it
imports, when it would not see that, with the agent. It runs one thread, no tensor arithmetic and never touches CUDA, so
that its forks are sound.
"""

from __future__ import annotations

import gc
import importlib
import signal
import socket
import sys
from functools import partial

from quickthaw_platform.parent_death import die_with_parent, outlive_parent
from quickthaw_platform.worker import forking, frames, template
from quickthaw_platform.worker.frames import Frame


def main(arguments: list[str]) -> None:
    """Import the modules, say `ready`, serve until the agent goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    forking.name_process("qt-zygote")
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    for name in arguments[1:]:
        _preload(name)
    forking.single_threaded_torch()
    gc.collect()
    gc.freeze()
    outlive_parent()
    parent = forking.Parent(control, forking.ZYGOTE_PATIENCE_SECONDS)
    frames.send(control, {"t": "ready"})
    parent.serve(partial(_handle, parent))


def _preload(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError as error:
        # An engine that needs the module will say so; the others need not suffer.
        print(f"the zygote goes without {name}: {error}", file=sys.stderr)


def _handle(parent: forking.Parent, frame: Frame, receiver: frames.Receiver) -> None:
    fd = receiver.take_fd()
    with socket.socket(fileno=fd) as end:
        pid = forking.fork(lambda: template.main(end, frame))
    parent.adopt(pid)
    frames.send(parent.control, {"t": "forked", "key": frame["key"], "pid": pid})


if __name__ == "__main__":
    main(sys.argv[1:])
