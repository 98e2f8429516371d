"""LLMLingua beside ours, in a Python of its own; on the same small model, since no other is at hand offline."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO, Self

from benchmarks.assets import CHILDREN, hugging_face_folder


class Lingua:
    """A process that makes prompts shorter, within the `with` block."""

    def __init__(self, python: Path) -> None:
        self._command = [str(python), str(CHILDREN / "lingua.py"), str(hugging_face_folder())]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def shorten(self, text: str, rate: float) -> str:
        """Return the text at about so many of its tokens."""
        process = self._process
        if process is None:
            raise RuntimeError("the process was not started")
        sent, answers = _open(process.stdin), _open(process.stdout)
        sent.write(json.dumps({"text": text, "rate": rate}) + "\n")
        sent.flush()
        line = answers.readline()
        if not line:
            raise RuntimeError("LLMLingua ended; what it said is above")
        return str(json.loads(line))


def _open(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the process has no pipe")
    return stream
