"""What the startup-time policy weighs, each case with figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quickthaw.types import Isolation
from quickthaw_platform.contracts import (
    AllocationRequest,
    ClusterView,
    FunctionStats,
    InstanceState,
    InstanceView,
    MigrationCost,
    NodeState,
    NodeView,
    Running,
    Start,
    TiersView,
    Wait,
    Way,
)
from quickthaw_platform.router.policies.startup_time import StartupTimePolicy

GB = 10**9
POLICY = StartupTimePolicy()
REQUEST = AllocationRequest("f", "v1", "c1", memory_bytes=2, concurrency=1, max_instances=9, checkpoint_bytes=10 * GB)
REMOTE = frozenset({"c1", "c2", "c3"})
INIT = dict.fromkeys((Way.DRAM, Way.DISK, Way.REMOTE), 1.0) | {Way.TEMPLATE: 0.1}
STATS = FunctionStats(INIT, service_seconds=None)


def node(
    name: str, *, free: int = 4, disk: str = "", dram: str = "", templates: str = "", disk_speed: float = 2 * GB
) -> NodeView:
    tiers = TiersView(
        dram=frozenset(dram.split()),
        bandwidths={"dram": 20 * GB, "disk": disk_speed, "remote": GB},
        remote=REMOTE,
    )
    held = frozenset(disk.split()), frozenset(templates.split())
    return NodeView(name, NodeState.READY, "cpu", 4, free, *held, tiers)


def instance(name: str, on: str, **fields: object) -> InstanceView:
    known = {
        "function": "g", "version": "v2", "state": InstanceState.READY, "concurrency": 1, "in_use": 1,
        "memory_bytes": 2, "idle_seconds": 0.0, "checkpoint": "c2", "checkpoint_bytes": 10 * GB,
    }  # fmt: skip
    return InstanceView(id=name, node=on, **(known | fields))  # type: ignore[arg-type]


def choose(nodes: list[NodeView], *instances: InstanceView, **fields: object) -> Start | Wait:
    known = {"waiting": {"v1": 1}, "functions": {"f": STATS, "g": STATS}}
    decision = POLICY.choose(REQUEST, ClusterView(nodes, instances, **(known | fields)))  # type: ignore[arg-type]
    assert isinstance(decision, Start | Wait)
    return decision


@pytest.mark.parametrize(
    ("nodes", "chosen", "way", "seconds"),
    [
        ([node("a"), node("b", disk="c1"), node("c", dram="c1"), node("d", templates="c1")], "d", Way.TEMPLATE, 0.1),
        ([node("a"), node("b", disk="c1"), node("c", dram="c1")], "c", Way.DRAM, 10 / 20 + 1),
        ([node("a"), node("b", disk="c1")], "b", Way.DISK, 10 / 2 + 1),
        ([node("a"), node("b", disk="c1", disk_speed=GB / 2)], "a", Way.REMOTE, 10 / 1 + 1),  # a disk may be slower
        ([node("a"), node("c", dram="c1", free=0)], "a", Way.REMOTE, 11.0),  # nothing idle would make room there
    ],
)
def test_the_start_that_takes_least_is_chosen(nodes: list[NodeView], chosen: str, way: Way, seconds: float) -> None:
    decision = choose(nodes)
    assert isinstance(decision, Start)
    assert (decision.node, decision.way) == (chosen, way)
    assert decision.estimate_seconds == pytest.approx(seconds)
    assert decision.considered[0].node == chosen
    assert {option.node for option in decision.considered[1:]} < {n.id for n in nodes}


def test_a_template_that_has_read_the_versions_prompt_is_chosen_before_one_that_has_not() -> None:
    plain, primed = node("a", templates="c1"), replace(node("b", templates="c1"), primed=frozenset({"v1"}))
    decision = choose([plain, primed])
    assert isinstance(decision, Start)
    assert (decision.node, decision.way) == ("b", Way.PRIMED)
    assert decision.estimate_seconds == pytest.approx(0.09)  # at most nine tenths of a plain template's


def test_a_template_primed_for_another_version_is_a_template() -> None:
    decision = choose([replace(node("b", templates="c1"), primed=frozenset({"v2"}))])
    assert isinstance(decision, Start)
    assert decision.way == Way.TEMPLATE


def test_what_primed_starts_have_taken_is_what_the_next_is_estimated_to_take() -> None:
    learnt = {"f": FunctionStats(INIT | {Way.PRIMED: 0.02})}
    decision = choose([replace(node("b", templates="c1"), primed=frozenset({"v1"}))], functions=learnt)
    assert decision.estimate_seconds == pytest.approx(0.02)


def test_a_process_that_sleeps_is_chosen_before_a_primed_template() -> None:
    primed = replace(node("a", templates="c1"), primed=frozenset({"v1"}))
    asleep = replace(node("b"), asleep=frozenset({"v1"}))  # the checkpoint is no more on that node
    decision = choose([primed, asleep])
    assert isinstance(decision, Start)
    assert (decision.node, decision.way) == ("b", Way.ASLEEP)
    assert decision.estimate_seconds == pytest.approx(0.05)  # half of what a template takes


def test_a_process_that_sleeps_waits_for_no_load_not_even_of_its_own_checkpoint() -> None:
    loading = instance(
        "x", "b", state=InstanceState.STARTING, in_use=0, memory_bytes=1, checkpoint="c1", load_seconds=20.0
    )
    decision = choose([node("a"), replace(node("b"), asleep=frozenset({"v1"}))], replace(loading, way=Way.REMOTE))
    assert isinstance(decision, Start)
    assert (decision.node, decision.way, decision.load_seconds) == ("b", Way.ASLEEP, 0.0)


def test_what_waking_has_taken_is_what_the_next_is_estimated_to_take() -> None:
    learnt = {"f": FunctionStats(INIT | {Way.ASLEEP: 0.7})}
    asleep = replace(node("a"), asleep=frozenset({"v1"}))
    assert choose([asleep], functions=learnt).estimate_seconds == pytest.approx(0.7)
    decision = choose([asleep, node("b", templates="c1")], functions=learnt)
    assert isinstance(decision, Start)
    assert (decision.node, decision.way) == ("b", Way.TEMPLATE)


def test_loads_before_it_count_and_send_it_elsewhere() -> None:
    loading = instance(
        "x", "a", state=InstanceState.STARTING, in_use=0, memory_bytes=1, way=Way.DISK, load_seconds=20.0
    )
    decision = choose([node("a", disk="c1", free=3), node("b")], loading)
    assert isinstance(decision, Start)
    assert decision.node == "b"  # 11 s from beyond, against 20 + 5 + 1
    assert decision.considered[1].queue_seconds == 20.0


def test_a_load_of_the_same_checkpoint_under_way_is_joined() -> None:
    loading = instance(
        "x", "a", version="v1b", checkpoint="c1", state=InstanceState.STARTING, in_use=0, memory_bytes=1,
        way=Way.REMOTE, load_seconds=3.0,
    )  # fmt: skip
    decision = choose([node("a", free=3), node("b", disk="c1")], loading)
    assert isinstance(decision, Start)
    assert decision.node == "a"
    assert decision.estimate_seconds == pytest.approx(4.0)  # 3 + 1, against 5 + 1


def test_simultaneous_starts_do_not_pile_up_on_one_node() -> None:
    starting = [
        instance(f"x{i}", "a", state=InstanceState.STARTING, in_use=0, memory_bytes=0, way=Way.TEMPLATE)
        for i in range(6)
    ]
    decision = choose([node("a", templates="c1"), node("b", dram="c1", disk="c1")], *starting)
    assert isinstance(decision, Start)
    assert decision.node == "a"  # 0.1 × 7 against 1.5
    many = [*starting, *(replace(s, id=f"{s.id}{k}") for k in range(2) for s in starting)]
    decision = choose([node("a", templates="c1"), node("b", dram="c1", disk="c1")], *many)
    assert isinstance(decision, Start)
    assert decision.node == "b"


def test_a_slot_that_is_soon_free_is_waited_for_until_patience_ends() -> None:
    busy = instance("x", "a", function="f", version="v1", checkpoint="c1")
    stats = {"f": replace(STATS, service_seconds=2.0)}
    nodes = [node("a", free=2), node("b")]
    waits = choose(nodes, busy, functions=stats)
    assert isinstance(waits, Wait)
    assert waits.estimate_seconds == 2.0
    assert "sooner than a new instance (11.0 s)" in waits.reason
    late = choose(nodes, busy, functions=stats, waited={"v1": 6.1})
    assert isinstance(late, Start)
    many = choose(nodes, busy, functions=stats, waiting={"v1": 6})
    assert isinstance(many, Start)  # the sixth would wait 12 s


def test_nothing_waits_for_a_slot_when_it_is_to_be_started_ahead() -> None:
    busy = instance("x", "a", function="f", version="v1", checkpoint="c1")
    view = ClusterView([node("a", free=2)], [busy], {"v1": 2}, functions={"f": replace(STATS, service_seconds=0.1)})
    assert isinstance(POLICY.choose(replace(REQUEST, ahead=True), view), Start)


def test_idle_instances_leave_for_it_the_one_least_worth_keeping_first() -> None:
    called = FunctionStats(INIT, calls_per_second=0.5)
    seldom = FunctionStats(INIT, calls_per_second=0.001)
    idle = [
        instance("often", "a", in_use=0, idle_seconds=9.0),
        instance("seldom", "a", in_use=0, function="h", version="v3"),
    ]
    decision = choose([node("a", free=0, disk="c1")], *idle, functions={"f": STATS, "g": called, "h": seldom})
    assert isinstance(decision, Start)
    assert decision.retire == ("seldom",)
    assert decision.estimate_seconds == pytest.approx(5 + 1 + 0.1)


def test_an_instance_stays_where_its_version_always_wants_it_or_something_waits_for_it() -> None:
    idle = instance("x", "a", in_use=0)
    nodes = [node("a", free=0, disk="c1")]
    assert isinstance(choose(nodes, replace(idle, min_instances=1)), Wait)
    other = instance("y", "a", in_use=0, function="g", version="v3")
    assert isinstance(choose(nodes, replace(idle, min_instances=1), other), Start)  # of another version of g
    assert isinstance(choose(nodes, idle, waiting={"v1": 1, "v2": 1}), Wait)


def test_a_dedicated_instance_gives_way_to_nobody_and_others_do() -> None:
    busy = instance("x", "a", memory_bytes=8)
    nodes = [node("a", free=0, disk="c1")]
    given: dict[str, object] = {"waiting": {"v1": 1}, "waited": {"v1": 100.0}}
    assert choose(nodes, busy, **given).drain == ("x",)  # type: ignore[union-attr]
    assert choose(nodes, replace(busy, min_instances=1), **given).drain == ("x",)  # type: ignore[union-attr]
    assert choose(nodes, replace(busy, min_instances=1, dedicated=True), **given).drain == ()  # type: ignore[union-attr]


def test_what_an_instance_is_worth_to_others_can_send_it_elsewhere() -> None:
    hot = FunctionStats({Way.TEMPLATE: 9.0}, calls_per_second=1.0)
    idle = instance("x", "a", in_use=0)
    nodes = [node("a", free=0, dram="c1"), node("b", disk="c1")]
    decision = choose(nodes, idle, functions={"f": STATS, "g": hot})
    assert isinstance(decision, Start)
    assert decision.node == "b"  # 6 s, against 1.6 s and nine more for the next caller of g
    assert decision.retire == ()


def test_a_running_invocation_moves_away_where_that_is_sooner() -> None:
    running = (Running("i1", tokens=1000, seconds=1.0),)
    busy = instance("x", "a", running=running, memory_bytes=4)
    nodes = [node("a", free=0, dram="c1"), node("b", templates="c2"), node("c", free=0)]
    cost = MigrationCost(seconds_per_token=0.001, seconds=0.2)
    request = replace(REQUEST, memory_bytes=4)
    view = ClusterView(nodes, [busy], {"v1": 1}, functions={"f": STATS, "g": STATS}, migration=cost)
    decision = POLICY.choose(request, view)
    assert isinstance(decision, Wait)
    assert [(move.invocation, move.instance, move.to_node) for move in decision.moves] == [("i1", "x", "b")]
    assert decision.drain == ("x",)
    # the mover's start on b 0.1, its tokens 1.2, the source's end 0.1, then 0.5 + 1; b alone would take 11
    assert decision.estimate_seconds == pytest.approx(0.1 + 1.2 + 0.1 + 1.5)
    assert isinstance(POLICY.choose(request, replace(view, migration=None, memo={})), Start)


def test_nothing_more_moves_while_a_node_is_being_freed() -> None:
    leaving = instance("x", "a", state=InstanceState.DRAINING, memory_bytes=4)
    cost = MigrationCost(0.001, 0.2)
    view = ClusterView([node("a", free=0, dram="c1")], [leaving], {"v1": 1}, functions={"f": STATS}, migration=cost)
    decision = POLICY.choose(replace(REQUEST, memory_bytes=4), view)
    assert isinstance(decision, Wait)
    assert (decision.moves, decision.drain) == ((), ())


def test_who_is_kept_out_for_long_has_the_largest_holder_give_way() -> None:
    others = [instance("x1", "a"), instance("x2", "a", in_use=0, state=InstanceState.LOADED)]
    nodes = [node("a", free=0, disk="c1")]
    assert choose(nodes, *others, waited={"v1": 1.0}).drain == ()  # type: ignore[union-attr]
    decision = choose(nodes, *others, waited={"v1": 3.0})
    assert isinstance(decision, Wait)
    assert decision.drain == ("x2",)  # the one with less to do
    again = choose(nodes, others[0], replace(others[1], state=InstanceState.DRAINING), waited={"v1": 4.0})
    assert isinstance(again, Wait)
    assert again.drain == ()  # it is on its way already


def test_with_spread_a_node_without_an_instance_is_preferred() -> None:
    busy = instance("x", "a", function="f", version="v1", checkpoint="c1")
    view = ClusterView([node("a", free=2, templates="c1"), node("b")], [busy], {"v1": 1}, functions={"f": STATS})
    assert POLICY.choose(REQUEST, view).node == "a"  # type: ignore[union-attr]
    spread = POLICY.choose(replace(REQUEST, spread=True), replace(view, memo={}))
    assert isinstance(spread, Start)
    assert spread.node == "b"


def test_labels_and_device_are_kept_to_and_named_where_nobody_has_them() -> None:
    labelled = replace(node("b"), labels={"zone": "x"}, device="cuda:0")
    nodes = [node("a", templates="c1"), labelled]
    view = ClusterView(nodes, [], {"v1": 1}, functions={"f": STATS})
    assert POLICY.choose(replace(REQUEST, labels={"zone": "x"}), view).node == "b"  # type: ignore[union-attr]
    assert POLICY.choose(replace(REQUEST, device="cuda"), view).node == "b"  # type: ignore[union-attr]
    nowhere = POLICY.choose(replace(REQUEST, labels={"zone": "y"}), view)
    assert isinstance(nowhere, Wait)
    assert "label zone=y" in nowhere.reason


def test_the_isolation_that_is_demanded_is_kept_to_and_named_where_nobody_gives_it() -> None:
    weaker = replace(node("a", templates="c1"), isolation=Isolation.PROCESS)
    view = ClusterView([weaker, replace(node("b"), isolation=Isolation.STRICT)], [], {"v1": 1}, functions={"f": STATS})
    for demanded, chosen in ((Isolation.NONE, "a"), (Isolation.PROCESS, "a"), (Isolation.STRICT, "b")):
        assert POLICY.choose(replace(REQUEST, isolation=demanded), view).node == chosen  # type: ignore[union-attr]
    alone = ClusterView([weaker], [], {"v1": 1}, functions={"f": STATS})
    nowhere = POLICY.choose(replace(REQUEST, isolation=Isolation.STRICT), alone)
    assert isinstance(nowhere, Wait)
    assert "isolation strict" in nowhere.reason


def test_a_template_whose_weights_are_still_arriving_is_waited_for() -> None:
    loading = instance("x", "a", version="v1b", checkpoint="c1", state=InstanceState.STARTING, in_use=0,
                       memory_bytes=1, way=Way.REMOTE, load_seconds=3.0)  # fmt: skip
    decision = choose([node("a", free=3, templates="c1")], loading)
    assert isinstance(decision, Start)
    assert (decision.way, decision.estimate_seconds) == (Way.TEMPLATE, 3.0 + 0.1)


def test_a_fork_never_measured_is_taken_for_half_of_a_start_that_was() -> None:
    known = {"f": FunctionStats({Way.DISK: 3.0})}
    decision = choose([node("a", templates="c1")], functions=known)
    assert isinstance(decision, Start)
    assert decision.estimate_seconds == 1.5


def test_room_that_is_kept_for_another_is_not_there() -> None:
    nodes = [replace(node("a", templates="c1"), kept_for="v2", kept_bytes=3), node("b")]
    decision = choose(nodes)
    assert isinstance(decision, Start)
    assert decision.node == "b"
    mine = choose([replace(nodes[0], kept_for="v1"), nodes[1]])
    assert isinstance(mine, Start)
    assert mine.node == "a"
