"""Which of the sleeping processes is woken, and which has to go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from structlog.testing import capture_logs

from quickthaw_platform.checkpoints.manifest import Manifest, WeightsFile
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.worker.instance_life import Instance
from quickthaw_platform.worker.instance_process import InstanceOrder, InstanceProcess, Listener
from quickthaw_platform.worker.sleepers import Sleepers

WEIGHTS = 10
FILE = WeightsFile(path="w", bytes=WEIGHTS, sha256="0", data_offset=0, chunks=("0",))
MANIFEST = Manifest(
    name="m", task="generate", architecture="A", dtype="bfloat16", bytes=1, context_tokens=8, source="s",
    source_digest="d", files=(), created_at=1.0, weights=(FILE,),
)  # fmt: skip
CHECKPOINT = Checkpoint("c1", Path("/nowhere"), MANIFEST.model_dump(mode="json"))


class FakeProcess:
    """Ends when it is killed and the test says that it has."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.killed = False
        self.listener = Listener(lambda _frame: None, lambda _stream, _line: None, lambda _status: None)

    def kill(self) -> None:
        self.killed = True


class World:
    def __init__(self, budget: int = 100) -> None:
        self.changes = 0
        self.processes: dict[str, FakeProcess] = {}
        self.sleepers = Sleepers(budget, on_change=self._change)

    def _change(self) -> None:
        self.changes += 1

    def instance(self, name: str, version: str = "v1", handler: object = None, **fields: Any) -> Instance:
        process = self.processes.setdefault(name, FakeProcess(len(self.processes) + 1))
        made = SimpleNamespace(
            id=name, process=process, can_sleep=True, deaf=set(),
            order=SimpleNamespace(
                instance=order(version, handler),
                template=SimpleNamespace(checkpoint=CHECKPOINT),
            ),
        )  # fmt: skip
        for field, value in fields.items():
            setattr(made, field, value)
        return cast("Instance", made)

    def join(self, name: str, size: int = 20, version: str = "v1") -> None:
        self.sleepers.join(self.instance(name, version), size)

    def ends(self, name: str) -> None:
        self.processes[name].listener.end(0)

    def killed(self) -> list[str]:
        return [name for name, process in self.processes.items() if process.killed]


def order(version: str = "v1", handler: object = None, **env: str) -> InstanceOrder:
    known = SimpleNamespace(id=version, spec=SimpleNamespace(handler=handler))
    return cast("InstanceOrder", SimpleNamespace(version=known, env=env))


def taken(found: InstanceProcess | None) -> int | None:
    return None if found is None else found.pid


def test_the_one_that_slept_last_is_woken_first_and_each_once() -> None:
    world = World()
    for name in ("a", "b"):
        world.join(name)
    assert world.sleepers.versions() == {"v1"}
    assert [taken(world.sleepers.take(order())) for _ in range(3)] == [2, 1, None]
    assert world.sleepers.versions() == frozenset()
    assert world.killed() == []


def test_another_versions_is_left_alone() -> None:
    world = World()
    world.join("a", version="v2")
    assert world.sleepers.take(order()) is None
    assert world.sleepers.versions() == {"v2"}


def test_one_with_another_environment_ends() -> None:
    world = World()
    world.join("a")
    assert world.sleepers.take(order(TOKEN="new")) is None
    assert world.killed() == ["a"]


def test_above_the_budget_those_end_that_have_slept_longest() -> None:
    world = World(100)
    for name in ("a", "b", "c"):
        world.join(name, 40)
    assert world.killed() == ["a"]
    world.join("d", 90)
    assert world.killed() == ["a", "b", "c"]


def test_weights_count_though_the_process_says_that_it_has_less() -> None:
    world = World(2 * WEIGHTS)
    for name in ("a", "b", "c"):
        world.join(name, -100)
    assert world.killed() == ["a"]


def test_a_version_too_large_is_told_of_once_and_not_tried_again() -> None:
    world = World(100)
    world.join("small", 10, version="v2")
    with capture_logs() as logs:
        world.join("a", 101)
    assert [log["reason"] for log in logs] == ["asleep it has 0 MB, the budget is 0 MB (sleep_budget)"]
    assert world.killed() == ["a"]  # and not what was there
    assert not world.sleepers.may_join(world.instance("b"))
    assert world.sleepers.may_join(world.instance("c", "v2"))
    world.sleepers.forget({"v1"})
    assert world.sleepers.may_join(world.instance("b"))


def test_what_may_not_sleep() -> None:
    world = World(WEIGHTS)
    assert world.sleepers.may_join(world.instance("a"))
    assert not world.sleepers.may_join(world.instance("a", can_sleep=False))
    assert not world.sleepers.may_join(world.instance("a", deaf={1}))  # a call's thread has not ended
    assert not world.sleepers.may_join(world.instance("a", handler="function.py"))  # it could run on
    assert not World(0).sleepers.may_join(world.instance("a"))


def test_weights_that_are_larger_than_the_budget_are_told_of_once_and_nothing_where_none_is_to_sleep() -> None:
    small, off = World(WEIGHTS - 1), World(0)
    with capture_logs() as logs:
        for world in (small, off, small, off):
            assert not world.sleepers.may_join(world.instance("a"))
    assert len(logs) == 1


def test_a_process_that_ends_by_itself_is_forgotten_and_others_stay() -> None:
    world = World()
    world.join("a")
    world.join("b")
    before = world.changes
    world.ends("b")
    assert world.changes == before + 1
    assert set(world.sleepers.pids().values()) == {1}


def test_those_that_were_ended_are_there_until_they_are_gone() -> None:
    world = World()
    world.join("a")
    world.sleepers.close()
    assert world.sleepers.versions() == frozenset()
    assert set(world.sleepers.pids().values()) == {1}
    world.ends("a")
    assert world.sleepers.pids() == {}


def test_once_closed_none_may_sleep_and_one_that_falls_asleep_ends() -> None:
    world = World()
    world.sleepers.close()
    assert not world.sleepers.may_join(world.instance("a"))
    world.join("a")
    assert world.killed() == ["a"]
