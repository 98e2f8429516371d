"""The search for garbage in a process that has started."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from quickthaw_platform import collecting


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.unfreeze()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    if frozen:
        gc.freeze()


def test_what_was_there_at_the_start_is_not_searched_and_the_rest_rarely() -> None:
    kept: list[object] = [[] for _ in range(100)]
    collecting.started()
    assert gc.get_freeze_count() > len(kept)
    assert not any(found is kept for found in gc.get_objects())
    assert gc.get_threshold() == collecting.THRESHOLDS


def test_later_garbage_is_found() -> None:
    collecting.started()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1
