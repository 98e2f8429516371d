"""Runs the processes of `quickthaw up`: starts them tethered, restarts those that die, stops them in order."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from quickthaw_platform.commands import log_rotation
from quickthaw_platform.commands.tether import tethered

LOG_BYTES = 16 << 20
"""A log file larger than this is set aside (as `.1`), also while its process runs."""

HEALTHY_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
REAP_SECONDS = 10.0
POLL_SECONDS = 0.05

_log = structlog.get_logger()


@dataclass
class Child:
    """One supervised process; each start of it is a new operating system process."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    follows_log: bool = False
    popen: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    restart_at: float | None = None
    restarts: int = field(default=0)

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self.popen is not None and self.popen.poll() is None


class Supervisor:
    """Owner of the children, which work in the folder of their logs. Used from the main thread only (see `tether`)."""

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self.children: dict[str, Child] = {}

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str], *, follows_log: bool = False) -> Child:
        """Start a process; its output goes to `{name}.log`.

        `follows_log` says that it opens its log anew once that was moved (`metering.log_file`); of others the content
        is copied away.
        """
        self.log_dir.mkdir(parents=True, exist_ok=True)
        child = Child(name, tuple(command), dict(env), self.log_dir / f"{name}.log", follows_log)
        self.children[name] = child
        _run(child)
        return child

    def tend(self) -> list[Child]:
        """Restart what died, after a pause that doubles while it keeps dying; return what died since last time.

        Logs that have grown large are set aside.
        """
        for child in self.children.values():
            log_rotation.rotate(child.log, LOG_BYTES, moved=child.follows_log)
        died = [child for child in self.children.values() if not child.alive and child.restart_at is None]
        now = time.monotonic()
        for child in died:
            if now - child.started_at > HEALTHY_SECONDS:
                child.pause = FIRST_PAUSE_SECONDS
            child.restart_at = now + child.pause
            child.pause = min(child.pause * 2, LONGEST_PAUSE_SECONDS)
        for child in self.children.values():
            if child.restart_at is not None and child.restart_at <= now:
                child.restarts += 1
                _run(child)
        return died

    def stop(self, names: Sequence[str], patience_seconds: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Send SIGTERM to these, wait, and kill the process groups of those that did not end in time.

        `hurry` is asked while waiting: once it says so, the patience is over.
        """
        children = [self.children.pop(name) for name in names if name in self.children]
        _signal(children, signal.SIGTERM)
        _wait(children, patience_seconds, hurry)
        late = [child for child in children if child.alive]
        for child in late if patience_seconds > 0 else ():
            _log.warning("process did not stop in time and is killed", name=child.name, seconds=patience_seconds)
        _signal(late, signal.SIGKILL)
        _wait(late, REAP_SECONDS)

    def kill(self) -> None:
        """Kill all that is left."""
        self.stop(tuple(self.children), patience_seconds=0.0)


def _run(child: Child) -> None:
    with _open_log(child.log) as log:
        child.popen = subprocess.Popen(
            tethered(child.command),
            env=child.env,
            cwd=child.log.parent,  # gunicorn and Celery import from where they work, whoever may write there
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for `up` alone: it stops them in order
            umask=0o077,  # what they write is for their own user only
        )
    child.started_at = time.monotonic()
    child.restart_at = None


def _open_log(path: Path) -> IO[bytes]:
    log_rotation.rotate(path, LOG_BYTES, moved=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _signal(children: Sequence[Child], number: signal.Signals) -> None:
    for child in children:
        if child.popen is not None and child.alive:
            if number == signal.SIGKILL:
                os.killpg(child.popen.pid, number)
            else:
                child.popen.send_signal(number)


def _wait(children: Sequence[Child], seconds: float, hurry: Callable[[], bool] = lambda: False) -> None:
    deadline = time.monotonic() + seconds
    while any(child.alive for child in children) and time.monotonic() < deadline and not hurry():
        time.sleep(POLL_SECONDS)
