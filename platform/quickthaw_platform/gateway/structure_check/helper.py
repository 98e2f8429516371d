"""The parent's side of the process that tries structures."""

from __future__ import annotations

import json

from quickthaw_platform.gateway.killable import HelperLost, HelperOverran, KillableProcess
from quickthaw_platform.gateway.structure_check.refusal import Refusal

__all__ = ["FATAL", "TOO_MUCH", "Helper", "HelperLost"]

MAX_WAIT_SECONDS = 10.0
"""The process ends itself after a second or two of computing; on a crowded machine the clock may say more."""

TOO_MUCH = Refusal("it takes more than a second of computing or more memory than a grammar may have; simplify it")
FATAL = Refusal("the compiler of grammars fails on it")
_MODULE = "quickthaw_platform.gateway.structure_check.process"


class Helper:
    """One such process. For one thread at a time; with gevent's patches only the asking greenlet waits."""

    def __init__(self) -> None:
        self._process = KillableProcess(_MODULE, MAX_WAIT_SECONDS)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, message: bytes) -> Refusal | None:
        """Return what becomes of a structure (see process). Raises HelperLost; the process is gone then.

        It is gone as well after TOO_MUCH.
        """
        try:
            answer = json.loads(self._process.ask(message))
        except HelperOverran:
            return TOO_MUCH
        return None if answer is None else Refusal(*answer)

    def close(self) -> None:
        """End the process. Idempotent."""
        self._process.close()
