"""A server that a command starts and that ends with us: its process tree, its resident memory, its log."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator

import psutil

from quickthaw.errors import InvalidRequest
from quickthaw_platform import signals
from quickthaw_platform.parent_death import die_with_parent

STOP_SECONDS = 20.0
LOG_TAIL_BYTES = 2000


class ServerCommand:
    """One run of a command. It dies with the thread that started it, so that a killed comparison leaves nothing."""

    def __init__(self, command: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server, see `stop`
        words = shlex.split(command)
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
                preexec_fn=_tie,
            )
        except (OSError, IndexError) as error:
            self._log.close()
            raise InvalidRequest(f"the command {command!r} cannot be run: {error}", param="command") from error

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def resident_bytes(self) -> int:
        """Return the memory that its process tree holds; pages that processes share are counted once among them."""
        return sum(_proportional_bytes(process) for process in self._tree())

    def tail(self) -> str:
        """Return the last of what it wrote."""
        size = self._log.seek(0, 2)
        self._log.seek(max(0, size - LOG_TAIL_BYTES))
        return self._log.read().decode(errors="replace").strip()

    def stop(self) -> None:
        """End the whole tree, politely and then not."""
        tree = list(self._tree())
        for process in tree[:1]:
            _signal(process, signal.SIGTERM)
        _, alive = psutil.wait_procs(tree, timeout=STOP_SECONDS)
        for process in alive:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=STOP_SECONDS)
        self._process.wait()
        self._log.close()

    def _tree(self) -> Iterator[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            yield root
            yield from root.children(recursive=True)


def _tie() -> None:
    """In the child: end with the parent, and hear every signal."""
    signals.start_afresh()
    die_with_parent()


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
