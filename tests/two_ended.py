"""Who runs which file of tests, where several processes do: one begins at the front of the list, the others at its end.

The list begins with what starts a platform and waits for it, and ends with what only computes. So a platform seldom
shares the machine with another one, and no processor is idle while a test waits: the others are niced, and take what
the first leaves. Files that share a platform stand together, or it would be started again and again; they are the
last of their kind, since others reach them first and they bear company best.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path

    from xdist.remote import Producer  # type: ignore[import-untyped]
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

KINDS = ("acceptance", "security", "integration", "packaging", "unit", "browser", "contract")
"""The folders, from those that wait most to those whose files compute longest; the short ones are in the middle."""

SHARED_PLATFORMS = ("small_disks", "two_nodes", "one_node")
"""Fixtures that stand for a platform of several files; see tests/acceptance/conftest.py."""

FIRST = "gw0"
NICER_BY = 5
"""Of the others: about a third of the first one's share, where both want the same processor."""


class TwoEnded(LoadFileScheduling):  # type: ignore[misc]
    """`--dist loadfile`, from both ends of the list."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id != FIRST:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TwoEnded | None:
    """Take the place of xdist's own scheduler of whole files."""
    return TwoEnded(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    """Name our mark, and leave the machine to the process that runs platforms, where there are several."""
    config.addinivalue_line("markers", "spends_platform: leaves a shared platform that cannot be lent again")
    if os.environ.get("PYTEST_XDIST_WORKER", FIRST) != FIRST:
        os.nice(NICER_BY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the kinds of tests in order and what shares a platform together, and leave all else as it is.

    Of those that share one, a file with a test that is marked `spends_platform` is the last.
    """
    shared = _sharing(items)
    spending = {item.path for item in items if item.get_closest_marker("spends_platform")}
    items.sort(key=lambda item: (_kind(item), shared.get(item.path, -1), item.path in spending))


def _kind(item: pytest.Item) -> int:
    kinds = [kind for kind in KINDS if f"tests/{kind}/" in item.nodeid]
    return KINDS.index(kinds[0]) if kinds else 0


def _sharing(items: list[pytest.Item]) -> dict[Path, int]:
    """Return which of the shared platforms each file uses that uses one: a file's tests stay together."""
    uses = ((item.path, name) for item in items for name in getattr(item, "fixturenames", ()))
    return {path: SHARED_PLATFORMS.index(name) for path, name in uses if name in SHARED_PLATFORMS}
