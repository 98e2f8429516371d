"""Has a function start before it is needed: a cold start and the reading of a tokenizer take seconds each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.validation.asking import Asker

PROMPT = (0, 1)
"""Tokens that every vocabulary has."""


def awaken(target: Target, asker: Callable[[Target], Asker] = Asker) -> threading.Thread:
    """Send a call of two tokens and return at once; the thread that waits for its answer ends with the process.

    What is wrong with the function is not told here: the first call in earnest finds it too.
    """

    async def ask() -> None:
        async with asker(target) as one:
            await one.ask(PROMPT)

    def wait() -> None:
        with suppress(QuickthawError):
            asyncio.run(ask())

    thread = threading.Thread(target=wait, name=f"awaken {target.model}", daemon=True)
    thread.start()
    return thread
