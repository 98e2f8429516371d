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


def test_a_timer_that_is_later_than_the_kernel_waits_ends_nothing(loop: Loop) -> None:
    done = threading.Event()
    loop.post(lambda: (loop.later(1e300, lambda: None), loop.later(1e9, lambda: None), None)[-1])
    loop.post(lambda: loop.soon(lambda: None))
    loop.post(done.set)
    assert done.wait(5)
    again = threading.Event()
    loop.post(again.set)
    assert again.wait(5)


def test_what_a_timer_wants_soon_is_done_though_nothing_wakes_the_loop(loop: Loop) -> None:
    done = threading.Event()

    def begin() -> None:
        loop.later(0, lambda: loop.soon(done.set))

    loop.post(begin)
    assert done.wait(5)
