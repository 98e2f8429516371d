"""Shortens texts without stalling the gateway: short ones at once, long ones in processes that may be killed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from quickthaw_platform.gateway.killable import HelperLost, HelperOverran
from quickthaw_platform.gateway.killable_pool import KillablePool
from quickthaw_platform.gateway.prompt_compression.process import TASKS
from quickthaw_platform.gateway.prompt_compression.shortening import Shortened

AT_ONCE_CHARACTERS = 2_000
"""Texts that together have no more take a few milliseconds, and are not worth the way to another process."""

MAX_CHARACTERS = 4_000_000
"""Longer prompts are sent as they are: no context holds them."""

PROCESSES = 2
MAX_WAIT_SECONDS = 60.0
TOO_LONG, TOO_SLOW = "too_long", "too_slow"
"""Reasons, beside those of compression.Reason, for which a prompt is sent as it was."""

_MODULE = "quickthaw_platform.gateway.prompt_compression.process"


class Shortener:
    """Any thread may ask. Up to PROCESSES processes are started when they are first needed, and end with `close`."""

    def __init__(self) -> None:
        self._pool = KillablePool(_MODULE, PROCESSES, MAX_WAIT_SECONDS)

    def shorten(
        self, texts: Sequence[tuple[str, str | None]], ratio: float | None, budgets: Sequence[int] | None
    ) -> list[Shortened]:
        """Do what shortening.shorten does; texts for which that takes too much come back as they are, with a reason."""
        return self._done("shorten", texts, ratio, budgets)

    def verified(self, texts: Sequence[tuple[str, str | None]], shorter: Sequence[str]) -> list[Shortened]:
        """Do what shortening.verified does, in the same way."""
        return self._done("verified", texts, shorter)

    def close(self) -> None:
        """End the processes that are idle; others are started where more is asked."""
        self._pool.close()

    def _done(self, task: str, texts: Sequence[tuple[str, str | None]], *arguments: object) -> list[Shortened]:
        size = sum(len(text) for text, _ in texts)
        if size <= AT_ONCE_CHARACTERS:
            return TASKS[task](texts, *arguments)
        if size > MAX_CHARACTERS:
            return [Shortened(text, TOO_LONG) for text, _ in texts]
        try:
            answer = self._pool.ask(json.dumps([task, [texts, *arguments]]).encode())
        except (HelperOverran, HelperLost):
            return [Shortened(text, TOO_SLOW) for text, _ in texts]
        return [Shortened(*each) for each in json.loads(answer)]
