"""The agent's loop: calls are made in time, whatever makes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from quickthaw_platform.worker.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.start()
    yield made
    made.close()


def test_what_a_timer_wants_soon_is_done_though_nothing_wakes_the_loop(loop: Loop) -> None:
    done = threading.Event()

    def begin() -> None:
        loop.later(0, lambda: loop.soon(done.set))

    loop.post(begin)
    assert done.wait(5)
