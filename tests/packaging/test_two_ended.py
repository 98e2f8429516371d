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


class Item:
    """A test of a file, which may use a fixture and have a mark."""

    def __init__(self, file: str, test: str, fixture: str = "", mark: str = "") -> None:
        self.nodeid, self.path = f"tests/{file}.py::{test}", Path(file)
        self.fixturenames, self._mark = [fixture], mark

    def get_closest_marker(self, name: str) -> object:
        return name if name == self._mark else None


def in_order(items: Any) -> list[str]:
    """Return the tests as they come to be run."""
    pytest_collection_modifyitems(items)
    return [item.nodeid.removeprefix("tests/").replace(".py::", " ") for item in items]


def test_files_that_share_a_platform_are_the_last_of_their_kind_and_together() -> None:
    uses = {"acceptance/a": "", "acceptance/b": "two_nodes", "acceptance/c": "one_node", "acceptance/d": "two_nodes"}
    uses |= {"unit/e": "", "integration/f": ""}
    items = [
        Item(name, test, fixture * (test == "x")) for name, fixture in reversed(uses.items()) for test in ("x", "y")
    ]
    order = ("acceptance/a", "acceptance/d", "acceptance/b", "acceptance/c", "integration/f", "unit/e")
    assert in_order(items) == [f"{name} {test}" for name in order for test in ("x", "y")]


def test_a_file_that_spends_its_platform_is_the_last_of_those_that_share_it() -> None:
    items = [
        Item("acceptance/a", "x", "two_nodes"),
        Item("acceptance/a", "y", "two_nodes", "spends_platform"),
        Item("acceptance/b", "x", "two_nodes"),
        Item("acceptance/c", "x", "one_node"),
    ]
    assert in_order(items) == ["acceptance/b x", "acceptance/a x", "acceptance/a y", "acceptance/c x"]
