"""What is said of a function's status, from views of the cluster."""

from __future__ import annotations

import pytest

from quickthaw_platform.contracts import ClusterView, InstanceState, InstanceView, NodeState, NodeView, TiersView, Way
from quickthaw_platform.gateway.model_cards import ModelCard, ModelStatus, status_of
from quickthaw_platform.gateway.model_events import STATUS, changes


def instance(state: InstanceState, version: str = "v1", start_seconds: float = 0.0) -> InstanceView:
    return InstanceView(
        f"i-{version}-{state}", "chat", version, "n1", state, 8, 0, 1, 0.0, "c1", 1000, way=Way.DISK,
        start_seconds=start_seconds,
    )  # fmt: skip


def view(*instances: InstanceView, arriving: int | None = None) -> ClusterView:
    tiers = TiersView(arriving={} if arriving is None else {"c1": arriving})
    node = NodeView("n1", NodeState.READY, "cpu", 1, 1, frozenset({"c1"}), frozenset(), tiers)
    return ClusterView(nodes=(node,), instances=instances)


@pytest.mark.parametrize(
    ("states", "failures", "expected"),
    [
        ([], {}, "unloaded"),
        ([InstanceState.READY], {}, "loaded"),
        ([InstanceState.STARTING, InstanceState.READY], {}, "loaded"),  # another one starts beside it
        ([InstanceState.STARTING], {}, "loading"),
        ([InstanceState.LOADED], {}, "loading"),  # it has not proved itself
        ([InstanceState.DRAINING], {}, "unloaded"),  # it takes nothing new
        ([], {"v1": "no such file"}, "failed"),
        ([InstanceState.STARTING], {"v1": "no such file"}, "loading"),  # it is being tried again
        ([], {"other": "no such file"}, "unloaded"),
    ],
)
def test_a_status_is_what_the_instances_do(
    states: list[InstanceState], failures: dict[str, str], expected: str
) -> None:
    assert status_of(["v1"], view(*map(instance, states)), failures).value == expected


def test_of_several_versions_the_one_nearest_to_serving_counts() -> None:
    seen = view(instance(InstanceState.STARTING, "v1"), instance(InstanceState.READY, "v2"))
    assert status_of(["v1", "v2"], seen, {}).value == "loaded"
    assert status_of(["v1"], seen, {}).value == "loading"


def test_a_load_has_the_routers_estimate_and_the_share_of_the_bytes_that_are_there() -> None:
    status = status_of(["v1"], view(instance(InstanceState.STARTING, start_seconds=2.5), arriving=250), {})
    assert status.estimate_seconds == 2.5
    assert status.progress is not None
    assert (status.progress.current, status.progress.value) == ("text_model", 0.75)


def test_a_load_whose_node_tells_nothing_has_no_progress() -> None:
    assert status_of(["v1"], view(instance(InstanceState.STARTING)), {}).progress is None


def test_a_failure_has_its_reason() -> None:
    status = status_of(["v1"], view(), {"v1": "weights-0 is missing"})
    assert (status.failed, status.reason) == (True, "weights-0 is missing")


def card(name: str, **status: object) -> ModelCard:
    return ModelCard(id=name, created=0, status=ModelStatus.model_validate(status))


def test_at_first_every_model_is_told_of() -> None:
    told = list(changes({}, {"a": card("a", value="loaded")}, STATUS))
    assert told == [{"model": "a", "event": "model_status", "data": {"status": "loaded"}}]


def test_later_only_changes_are_told() -> None:
    before = {"a": card("a", value="loaded"), "b": card("b", value="unloaded"), "c": card("c", value="unloaded")}
    after = {"a": card("a", value="loaded"), "b": card("b", value="loading", estimate_seconds=1.0)}
    told = list(changes(before, after))
    assert told == [
        {"model": "b", "event": "status_change", "data": {"status": "loading", "estimate_seconds": 1.0}},
        {"model": "c", "event": "model_remove", "data": {}},
    ]


def test_an_estimate_that_runs_down_is_no_change() -> None:
    before = {"a": card("a", value="loading", estimate_seconds=1.0)}
    assert not list(changes(before, {"a": card("a", value="loading", estimate_seconds=0.5)}))
