"""Stages of a start: how long each took, and what went wrong in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from quickthaw.errors import StartFailed

Stage = Callable[[str, float], None]
"""Takes a stage's name and its seconds."""


@contextmanager
def timed(name: str, stage: Stage, file: Path) -> Iterator[None]:
    """Report how long a stage took; what goes wrong in it is StartFailed, naming the file."""
    begin = time.perf_counter()
    with failures(name, file):
        yield
    stage(name, time.perf_counter() - begin)


@contextmanager
def failures(what: str, file: Path) -> Iterator[None]:
    """Turn whatever a library raises into StartFailed, naming the file."""
    try:
        yield
    except StartFailed as error:
        raise StartFailed(f"{file}: {error.message}") from error
    except Exception as error:
        raise StartFailed(f"{file}: {what} does not load: {type(error).__name__}: {error}") from error
