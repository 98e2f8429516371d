"""How the files of tests are shared out among processes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from tests.packaging.roots import ROOT
from tests.two_ended import KINDS, TwoEnded


class Process:
    """What the scheduler needs of a process: where it sends what is to be run."""

    shutting_down = False

    def __init__(self) -> None:
        self.told: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.told += indices


def shared_out(processes: int, files: int) -> list[list[int]]:
    """Let each process in turn take a file of one test, until there is none."""
    scheduler: Any = object.__new__(TwoEnded)
    tests = [f"tests/file{number}.py::test" for number in range(files)]
    nodes = [Process() for _ in range(processes)]
    scheduler.assigned_work = {node: {} for node in nodes}
    scheduler.registered_collections = dict.fromkeys(nodes, tests)
    scheduler.workqueue = OrderedDict((test.partition("::")[0], {test: False}) for test in tests)
    for number in range(files):
        scheduler._assign_work_unit(nodes[number % processes])
    return [node.told for node in nodes]


def test_two_processes_meet_in_the_middle() -> None:
    assert shared_out(2, 7) == [[0, 1, 2, 3], [6, 5, 4]]


def test_more_processes_take_the_two_ends_in_turn() -> None:
    assert shared_out(3, 6) == [[0, 2], [5, 4], [1, 3]]


def test_a_single_process_keeps_the_order() -> None:
    assert shared_out(1, 3) == [[0, 1, 2]]


def test_every_kind_is_a_folder_of_tests() -> None:
    assert all(list((ROOT / "tests" / kind).rglob("test_*.py")) for kind in KINDS)
