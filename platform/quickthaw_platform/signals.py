"""What a parent leaves behind of signals: some ignored (nohup, `&` in a script), some blocked (some CI runners).

Both are inherited through fork and exec, so whoever supervises sets its own, and starts others with none. A short
command that a script put into the background goes on ignoring SIGINT, as is usual; a blocked signal means nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection


def start_afresh(keeping: Collection[signal.Signals] = ()) -> None:
    """Ignore and block nothing: for a process that is about to become another program, or was forked to.

    What of `keeping` is ignored stays so.
    """
    for number in signal.valid_signals():
        if number not in keeping and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    unblock()


def supervise() -> None:
    """Let this process hear Ctrl-C and the end of its children, whatever its parent ignored. From the main thread."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGCHLD):  # children of one that ignores SIGCHLD end without a status
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    unblock()


def has_terminal() -> bool:
    """Whether this process hangs on a terminal, whose end it is told by SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def unblock() -> None:
    """Block no signal in this thread."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
