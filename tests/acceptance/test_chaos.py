"""A random process is killed every two seconds under load: see chaos.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.acceptance.chaos import CALLS, KILL_EVERY_SECONDS, SUCCEEDED_LEAST, chaos, show, up
from tests.acceptance.chaos_kills import ROLES

LOAD_SECONDS = 50.0


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_calls_outlive_a_kill_every_two_seconds(tmp_path: Path) -> None:
    for cluster in up(tmp_path):
        result = chaos(cluster, seed=1, seconds=LOAD_SECONDS)
        show(result, Console(width=120))
    assert not result.wrong
    assert len(result.verdicts) >= CALLS
    assert result.succeeded >= SUCCEEDED_LEAST * len(result.verdicts)
    assert set(result.kills) == set(ROLES)
    assert result.kills.total() >= LOAD_SECONDS / KILL_EVERY_SECONDS * 0.7
