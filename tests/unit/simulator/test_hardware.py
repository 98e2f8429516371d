"""A simulated node's tiers do as a real one's: what the comparison with real nodes rests on."""

from __future__ import annotations

import pytest

from quickthaw_platform.contracts import Way
from quickthaw_platform.simulator.engine import simulate
from quickthaw_platform.simulator.hardware import Node
from tests.unit.simulator.scenarios import scenario

SIZE = 10**9


def node(*, dram: int = 2, disk: int = 100, placed: tuple[str, ...] = ()) -> Node:
    given = scenario(node={"dram": dram * SIZE, "disk": disk * SIZE})
    made = Node("n", given.nodes[0], given.devices["gpu"], frozenset("abc"))
    for checkpoint in placed:
        made.place(checkpoint, SIZE)
    return made


def bring(made: Node, checkpoint: str, now: float) -> float:
    """Have a checkpoint read into memory; returns when it is there."""
    load = made.begin_load(checkpoint, SIZE, now, 1.0)
    made.arrived(checkpoint, SIZE, load)
    return load.end


def test_room_in_memory_is_made_when_a_load_is_asked_for() -> None:
    made = node(dram=1, placed=("a", "b"))
    bring(made, "a", 0.0)
    assert made.tiers().dram == {"a"}
    load = made.begin_load("b", SIZE, 5.0, 1.0)
    assert made.tiers().dram == frozenset()  # `a` has left, `b` is on its way
    made.arrived("b", SIZE, load)
    assert made.tiers().dram == {"b"}


def test_a_load_that_is_shared_counts_as_a_use() -> None:
    made = node(placed=("a", "b", "c"))
    load = made.begin_load("a", SIZE, 0.0, 1.0)
    assert made.begin_load("a", SIZE, 0.5, 1.0).end == load.end
    made.arrived("a", SIZE, load)
    bring(made, "b", 2.0)
    bring(made, "c", 4.0)
    assert made.tiers().dram == {"a", "c"}


def test_what_was_read_from_the_disk_stays_there_while_it_is_in_memory() -> None:
    made = node(dram=2, disk=1, placed=("a",))
    bring(made, "a", 0.0)
    bring(made, "b", 5.0)  # from beyond: it finds no room on the disk
    assert set(made.disk.cached) == {"a"}
    bring(made, "c", 50.0)  # `a` leaves the memory for it, and then the disk
    assert set(made.disk.cached) == {"c"}


def test_weights_come_while_those_that_make_room_leave() -> None:
    given = scenario(
        functions=2, invocations=40, placed_on_disks="all", stop=0.6, arrivals={"kind": "poisson", "rate": 0.01},
        node={"count": 1, "memory": "1GB", "dram": "1GB"}, tokens=1,
    )  # fmt: skip
    outcome = simulate(given, "startup-time", "greedy-dual")
    assert outcome.ways[Way.DISK] > 2
    assert max(outcome.starts) == pytest.approx(1.5)  # 1 s of reading, 0.5 s of init; 0.6 s of leaving meanwhile
