"""The turns of a chat meet on the instance that served the first one, while both instances have room."""

from __future__ import annotations

from quickthaw.types import InvocationState, Version
from quickthaw_platform.gateway.admission import Order
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import wait_for

SYSTEM = {"role": "system", "content": "You know all trains of the country, and when each of them leaves."}
FIRST = [SYSTEM, {"role": "user", "content": "To the sea?"}]
SECOND = [*FIRST, {"role": "assistant", "content": "At nine."}, {"role": "user", "content": "And later?"}]


def call(node: NodeProcess, version: Version, messages: list[dict[str, str]]) -> str:
    """Call the function as the gateway does; returns the invocation."""
    order = Order(version, {"messages": messages}, {})
    return node.invoke(version, request=order.request(), beginnings=order.beginnings())


def instance(node: NodeProcess, identity: str) -> str | None:
    info = node.ended(identity)
    assert info.state is InvocationState.SUCCEEDED, info.error
    return info.instance


def test_the_next_turn_goes_where_the_last_one_was_and_elsewhere_where_that_has_no_free_slot(node: NodeProcess) -> None:
    version = node.deploy("turns", concurrency=1, max_instances=2, options={"token_delay": "20ms"})
    names = sorted([node.ready(version), node.ready(version)])
    busy = call(node, version, [{"role": "user", "content": "Something else altogether, which takes its time. " * 3}])
    assert node.store.get(busy).instance == names[0]
    first = instance(node, call(node, version, FIRST))
    assert first == names[1]  # the other one was busy
    node.ended(busy)
    wait_for(lambda: node.redis.zcard(f"qt:version.open:{version.id}") == 2, "both instances having a free slot")
    running = call(node, version, SECOND)
    assert node.store.get(running).instance == first
    assert instance(node, call(node, version, SECOND)) == names[0]  # a second try of the turn, beside the first
    assert instance(node, running) == first
