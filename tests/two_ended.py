"""Who runs which file of tests, where several processes do: every other process begins at the end of the list.

The list begins with what starts a platform and waits for it, and ends with what only computes. So a platform seldom
shares the machine with another one, and no processor is idle while a test waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from xdist.remote import Producer  # type: ignore[import-untyped]
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

KINDS = ("acceptance", "integration", "packaging", "unit", "browser", "contract")
"""The folders, from those that wait most to those whose files compute longest; the short ones are in the middle."""


class TwoEnded(LoadFileScheduling):  # type: ignore[misc]
    """`--dist loadfile`, from both ends of the list."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if self.nodes.index(node) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TwoEnded | None:
    """Take the place of xdist's own scheduler of whole files."""
    return TwoEnded(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the kinds of tests in order, and leave all else as it is."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    kinds = [kind for kind in KINDS if f"tests/{kind}/" in item.nodeid]
    return KINDS.index(kinds[0]) if kinds else 0
