"""Child processes of a benchmark: started with their own log, ended by pid together with all they started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Self

import psutil

from quickthaw_platform import signals

STOP_PATIENCE_SECONDS = 20.0

OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}


def end_on_sigterm() -> None:
    """Make SIGTERM leave every `with` block, as Ctrl-C does: no process stays behind."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signals.supervise()
    signal.signal(signal.SIGTERM, leave)


class Child:
    """A process, from `start` to the end of the `with` block. Its output is in `log`."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._command = list(command)
        self._env = {**os.environ, **OFFLINE, **(env or {})}
        self.log = log
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._popen = self._spawn(log.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        end_tree(self.popen.pid)
        self.popen.wait()

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """The running process."""
        if self._popen is None:
            raise RuntimeError("the process was not started")
        return self._popen

    def check(self) -> None:
        """Raise with the end of its log if the process has ended."""
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self._command[0]} ended with {self.popen.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-3000:]

    def _spawn(self, log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


class Conversation(Child):
    """A child that answers one JSON line on its standard output for each on its standard input."""

    def ask(self, question: Mapping[str, Any]) -> Any:
        """Send a question and wait for its answer."""
        pipes = self.popen
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(json.dumps(question).encode() + b"\n")
        pipes.stdin.flush()
        line = pipes.stdout.readline()
        if not line:
            pipes.wait()
            self.check()
        return json.loads(line)

    def _spawn(self, log: int) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self._command, env=self._env, stdin=pipe, stdout=pipe, stderr=log, start_new_session=True
        )


def end_tree(pid: int, patience_seconds: float = STOP_PATIENCE_SECONDS) -> None:
    """End a process, politely and then not, and whatever it started and left behind."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
        root.send_signal(signal.SIGTERM)
        psutil.wait_procs([root], timeout=patience_seconds)
        _, alive = psutil.wait_procs(tree, timeout=1)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=patience_seconds)
