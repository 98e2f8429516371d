"""Long texts are shortened in a process that may be killed, and never at the cost of the prompt."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from quickthaw_platform.gateway.killable import HelperOverran, KillableProcess
from quickthaw_platform.gateway.prompt_compression import shortener as module
from quickthaw_platform.gateway.prompt_compression.shortener import AT_ONCE_CHARACTERS, TOO_LONG, TOO_SLOW, Shortener
from quickthaw_platform.gateway.prompt_compression.shortening import shorten
from tests.unit.gateway.test_compressed_texts import LONG

LONGER = f"{LONG} " * (AT_ONCE_CHARACTERS // len(LONG) + 1)


@pytest.fixture
def shortener() -> Iterator[Shortener]:
    made = Shortener()
    yield made
    made.close()


def test_short_texts_need_no_process(shortener: Shortener) -> None:
    assert shortener.shorten([(LONG, None)], 0.5, None) == shorten([(LONG, None)], 0.5, None)
    assert shortener._pool._idle == []


def test_a_process_comes_to_the_same_and_is_used_again(shortener: Shortener) -> None:
    assert shortener.shorten([(LONGER, None)], 0.5, None) == shorten([(LONGER, None)], 0.5, None)
    (process,) = shortener._pool._idle
    shortener.shorten([(LONGER, None)], None, [50])
    assert shortener._pool._idle == [process]


def test_a_process_that_was_killed_is_replaced(shortener: Shortener) -> None:
    shortener.shorten([(LONGER, None)], 0.5, None)
    os.kill(shortener._pool._idle[0].pid, signal.SIGKILL)
    (found,) = shortener.shorten([(LONGER, None)], 0.5, None)
    assert found.reason == "compressed"


def test_texts_that_take_too_long_come_back_as_they_are(shortener: Shortener, monkeypatch: pytest.MonkeyPatch) -> None:
    def overrun(process: KillableProcess, message: bytes) -> bytes:
        process.close()
        raise HelperOverran

    monkeypatch.setattr(KillableProcess, "ask", overrun)
    assert shortener.shorten([(LONGER, None)], 0.5, None) == [(LONGER, TOO_SLOW)]


def test_texts_that_no_context_holds_are_not_looked_at(shortener: Shortener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHARACTERS", len(LONGER) - 1)
    assert shortener.shorten([(LONGER, None)], 0.5, None) == [(LONGER, TOO_LONG)]
    assert shortener._pool._idle == []


def test_text_that_no_encoding_holds_passes(shortener: Shortener) -> None:
    (found,) = shortener.shorten([("\ud800 " + LONGER, None)], 0.5, None)
    assert found.text.startswith("\ud800")
