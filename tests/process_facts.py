"""What a process is, where it may end at any moment: psutil raises then, and here it is nothing any more."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil


def name_of(process: psutil.Process) -> str:
    """Return a process's name; '' of one that has ended."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def command_of(process: psutil.Process) -> str:
    """Return a process's command line; '' of one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def folder_of(process: psutil.Process) -> Path | None:
    """Return the folder that a process works in; None of one that has ended."""
    try:
        return Path(process.cwd())
    except (psutil.NoSuchProcess, FileNotFoundError):
        return None


def living(processes: Iterable[psutil.Process], name: str) -> list[psutil.Process]:
    """Return those of the processes that run and have this name."""
    return [process for process in processes if name_of(process) == name and runs(process)]


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
