"""How the files of tests are shared out among processes."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.packaging.roots import ROOT
from tests.two_ended import KINDS, TwoEnded, pytest_collection_modifyitems


class Process:
    """What the scheduler needs of a process: its name, and where it sends what is to be run."""

    shutting_down = False

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.told: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.told += indices


def shared_out(processes: int, files: int) -> list[list[int]]:
    """Let each process in turn take a file of one test, until there is none."""
    scheduler: Any = object.__new__(TwoEnded)
    tests = [f"tests/file{number}.py::test" for number in range(files)]
    nodes = [Process(number) for number in range(processes)]
    scheduler.assigned_work = {node: {} for node in nodes}
    scheduler.registered_collections = dict.fromkeys(nodes, tests)
    scheduler.workqueue = OrderedDict((test.partition("::")[0], {test: False}) for test in tests)
    for number in range(files):
        scheduler._assign_work_unit(nodes[number % processes])
    return [node.told for node in nodes]


def test_two_processes_meet_in_the_middle() -> None:
    assert shared_out(2, 7) == [[0, 1, 2, 3], [6, 5, 4]]


def test_of_more_processes_one_begins_at_the_front() -> None:
    assert shared_out(3, 6) == [[0, 1], [5, 3], [4, 2]]


def test_a_single_process_keeps_the_order() -> None:
    assert shared_out(1, 3) == [[0, 1, 2]]


def test_every_kind_is_a_folder_of_tests() -> None:
    assert all(list((ROOT / "tests" / kind).rglob("test_*.py")) for kind in KINDS)


def test_files_that_share_a_platform_are_the_last_of_their_kind_and_together() -> None:
    uses = {"acceptance/a": "", "acceptance/b": "two_nodes", "acceptance/c": "one_node", "acceptance/d": "two_nodes"}
    uses |= {"unit/e": "", "integration/f": ""}
    items: Any = [
        SimpleNamespace(nodeid=f"tests/{name}.py::{test}", path=Path(name), fixturenames=[fixture] * (test == "x"))
        for name, fixture in reversed(uses.items())
        for test in ("x", "y")
    ]
    pytest_collection_modifyitems(items)
    names = [item.nodeid.removeprefix("tests/").replace(".py::", " ") for item in items]
    order = ("acceptance/a", "acceptance/d", "acceptance/b", "acceptance/c", "integration/f", "unit/e")
    assert names == [f"{name} {test}" for name in order for test in ("x", "y")]
