"""When the startup-time policy waits for a full node with the weights in memory; figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quickthaw_platform.contracts import AllocationRequest, ClusterView, FunctionStats, NodeView, Start, Wait
from quickthaw_platform.router.policies.deciding import Candidates, candidates_of
from quickthaw_platform.router.policies.room import FAIR_WAIT_SECONDS, LATER_SECONDS, LONGEST_SECONDS
from quickthaw_platform.router.policies.waiting import NEAR_PATIENCE, contention
from tests.unit.router.test_startup_time import POLICY, REQUEST, STATS, choose, instance, node

NEAR = node("a", free=0, dram="c1")  # 0.5 + 1 s from memory, when it has room
FAR = node("b", disk="c1")  # 5 + 1 s from its disk, at once
BUSY = [instance("x1", "a"), instance("x2", "a")]  # 2 bytes each, as the request wants


def served_in(seconds: float | None) -> dict[str, FunctionStats]:
    return {"f": STATS, "g": replace(STATS, service_seconds=seconds)}


@pytest.mark.parametrize(
    ("service", "waits"),
    [
        (8.9, True),  # two of 8.9 s: one leaves in 4.45 s, 5.95 s until it serves, against 6
        (9.1, False),
        (None, False),  # how long they run is not known
    ],
)
def test_a_full_node_with_the_weights_in_memory_is_waited_for_where_that_is_sooner(
    service: float | None, *, waits: bool
) -> None:
    decision = choose([NEAR, FAR], *BUSY, functions=served_in(service))
    assert isinstance(decision, Wait if waits else Start)
    if isinstance(decision, Wait) and service is not None:
        assert decision.estimate_seconds == pytest.approx(service / 2 + 1.5)
        assert "node a, which has the weights in memory" in decision.reason
        assert "elsewhere it would take 6.0 s" in decision.reason


def test_when_others_wait_the_device_time_that_a_far_start_takes_from_them_counts() -> None:
    quiet = choose([NEAR, FAR], *BUSY, functions=served_in(15.0))
    assert isinstance(quiet, Start)  # 7.5 + 1.5 against 6
    crowded = choose([NEAR, FAR], *BUSY, functions=served_in(15.0), waiting={"v1": 1, "v9": 4})
    assert isinstance(crowded, Wait)  # four wait for room for four: 6 and 4.5 more


def test_when_others_wait_a_slot_is_waited_for_longer_than_a_start_would_take() -> None:
    mine = instance("x", "a", function="f", version="v1", checkpoint="c1")
    stats = {"f": replace(STATS, service_seconds=2.0)}
    nodes = [node("a", free=2), node("b")]
    assert isinstance(choose(nodes, mine, functions=stats, waiting={"v1": 6}), Start)  # 12 s against 11
    assert isinstance(choose(nodes, mine, functions=stats, waiting={"v1": 6, "v2": 4}), Wait)  # against twice 11


def test_calls_that_wait_for_the_running_instances_put_off_when_they_leave() -> None:
    waits = choose([NEAR, FAR], *BUSY, functions=served_in(4.0))
    assert isinstance(waits, Wait)
    behind = choose([NEAR, FAR], *BUSY, functions=served_in(4.0), waiting={"v1": 1, "v2": 4})
    assert isinstance(behind, Start)  # five calls of 4 s each, on two: 10 + 1.5, against 6 + 4.5


def test_who_has_waited_too_long_for_a_full_node_starts_elsewhere() -> None:
    limit = NEAR_PATIENCE * (2.0 + 1.5)
    known = served_in(4.0)
    assert isinstance(choose([NEAR, FAR], *BUSY, waited={"v1": limit - 0.1}, functions=known), Wait)
    assert isinstance(choose([NEAR, FAR], *BUSY, waited={"v1": limit + 0.1}, functions=known), Start)


def test_a_start_from_memory_and_one_ahead_do_not_wait() -> None:
    known = served_in(0.1)
    other = node("c", dram="c1")
    near = choose([NEAR, other], *BUSY, functions=known)
    assert isinstance(near, Start)
    assert near.node == "c"
    view_of = candidates([NEAR, FAR], known).view
    assert isinstance(POLICY.choose(replace(REQUEST, ahead=True), view_of), Start)


def candidates(nodes: list[NodeView], functions: dict[str, FunctionStats], **fields: object) -> Candidates:
    view = ClusterView(nodes, BUSY, functions=functions, **({"waiting": {"v1": 1}} | fields))  # type: ignore[arg-type]
    return candidates_of(REQUEST, view)


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ({"v1": 9}, 0.0),  # its own: they gain by the start
        ({"v1": 1, "v2": 2, "v3": 4}, 1.5),  # six others, and room for four
    ],
)
def test_contention_is_how_many_others_wait_for_each_instance_that_there_can_be(
    waiting: dict[str, int], expected: float
) -> None:
    assert contention(candidates([NEAR, FAR], {}, waiting=waiting)) == expected


@pytest.mark.parametrize(
    ("mine", "theirs", "gives_way"),
    [
        (LATER_SECONDS + 4.0, 5.0, False),  # to swap would be a start more, and gain nobody much
        (LATER_SECONDS + 6.0, 5.0, True),
        (FAIR_WAIT_SECONDS, None, True),  # nothing waits for the one that runs
        (LONGEST_SECONDS - 1.0, 50.0, False),
        (LONGEST_SECONDS, 50.0, True),
    ],
)
def test_the_last_instance_of_a_function_whose_calls_wait_too_gives_way_late(
    mine: float, theirs: float | None, *, gives_way: bool
) -> None:
    holder = instance("x", "a", memory_bytes=4)
    request: AllocationRequest = replace(REQUEST, memory_bytes=4)
    waited = {"v1": mine} | ({} if theirs is None else {"v2": theirs})
    view = replace(candidates([NEAR], {"f": STATS, "g": STATS}).view, instances=[holder], waited=waited, memo={})
    decision = POLICY.choose(request, view)
    assert isinstance(decision, Wait)
    assert decision.drain == (("x",) if gives_way else ())


def test_a_function_with_more_than_its_share_gives_way_soon_whatever_waits_for_it() -> None:
    decision = choose([NEAR], *BUSY, waited={"v1": FAIR_WAIT_SECONDS, "v2": 50.0}, waiting={"v1": 1, "v2": 9})
    assert isinstance(decision, Wait)
    assert len(decision.drain) == 1
