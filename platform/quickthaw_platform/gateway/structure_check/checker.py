"""Whether structures can be followed: remembered by content, and tried in a process of its own."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from typing import Any

from quickthaw_platform.gateway.structure_check.helper import FATAL, TOO_MUCH, Helper, HelperLost
from quickthaw_platform.gateway.structure_check.refusal import Refusal

MAX_BYTES = 1 << 20
"""Of one structure as JSON."""

REMEMBERED = 2048
_TRIES = 2


class StructureChecker:
    """Any thread may ask. One process is started when it is first needed, and again after it had to be killed.

    New structures are tried one after the other; who asks for one that is remembered waits for nobody.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[bytes, Refusal | None] = OrderedDict()  # least recently used first
        self._trying = threading.Lock()
        self._helper: Helper | None = None

    def check(self, kind: str, value: Any) -> Refusal | None:
        """Return why a structure cannot be followed, None where it can: `value` is that of Structure's field `kind`."""
        try:
            message = json.dumps([kind, value]).encode()
        except RecursionError:
            return Refusal("it nests too deeply")
        if len(message) > MAX_BYTES:
            return Refusal(f"it has {len(message):,} bytes as JSON; at most {MAX_BYTES:,} are allowed")
        digest = hashlib.sha256(message).digest()
        with self._lock:
            if digest in self._found:
                self._found.move_to_end(digest)
                return self._found[digest]
        with self._trying:
            return self._found[digest] if digest in self._found else self._remember(digest, self._tried(message))

    def close(self) -> None:
        """End the process; another is started where more is asked."""
        with self._trying:
            if self._helper is not None:
                self._helper.close()
                self._helper = None

    def _remember(self, digest: bytes, refusal: Refusal | None) -> Refusal | None:
        with self._lock:
            self._found[digest] = refusal
            if len(self._found) > REMEMBERED:
                self._found.popitem(last=False)
        return refusal

    def _tried(self, message: bytes) -> Refusal | None:
        for _ in range(_TRIES):
            helper, self._helper = self._helper or Helper(), None
            try:
                refusal = helper.ask(message)
            except HelperLost:
                continue
            if refusal is not TOO_MUCH:
                self._helper = helper
            return refusal
        return FATAL
