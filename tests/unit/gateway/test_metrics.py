"""`/metrics` shows what runs and waits in the whole cluster, read when asked."""

from __future__ import annotations

from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from quickthaw_platform.registry.functions import FunctionRegistry
from tests.state import start_instance
from tests.unit.gateway.node import FakeNode

INPUT = {"input": {"prompt": "hi"}}


def gauges(client: FlaskClient) -> dict[tuple[str, str], float]:
    """Return every sample by name and its one label's value."""
    text = client.get("/metrics").text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_names_that_dashboards_know(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions", json={"name": "chat", "model": "tiny", "engine": "echo", "concurrency": 1})
    client.post("/v1/functions/chat/invoke", json=INPUT)
    node.holding = True
    client.post("/v1/functions/chat/async", json=INPUT)
    client.post("/v1/functions/chat/async", json=INPUT)
    shown = gauges(client)
    assert shown["quickthaw_num_requests_running", "chat"] == 1
    assert shown["quickthaw_num_requests_waiting", "chat"] == 1
    assert shown["quickthaw_instances", "ready"] == 1
    assert shown["quickthaw_instances", "starting"] == 0
    assert shown["quickthaw_requests_held", ""] == 1


def test_each_metric_stands_there_once(client: FlaskClient) -> None:
    types = [line for line in client.get("/metrics").text.splitlines() if line.startswith("# TYPE ")]
    assert "# TYPE quickthaw_requests_held gauge" in types
    assert len(types) == len(set(types))


def test_requests_are_counted_by_endpoint_not_by_path(client: FlaskClient) -> None:
    client.get("/v1/invocations/one")
    client.get("/v1/invocations/two")
    lines = [line for line in client.get("/metrics").text.splitlines() if "get_invocation" in line]
    assert any('status="404"' in line for line in lines)
    assert not any("one" in line for line in lines)


def test_calls_that_went_where_a_beginning_of_theirs_was_are_counted(
    client: FlaskClient, node: FakeNode, redis: Redis
) -> None:
    client.post("/v1/functions", json={"name": "turns", "model": "tiny", "engine": "echo", "max_instances": 2})
    version = FunctionRegistry(redis).resolve("turns")
    for name in ("x1", "x2"):
        start_instance(redis, version, name)
    turn = {"role": "user", "content": "When does the train leave that comes to the sea before the sun goes down?"}
    for messages in ([turn], [turn, {"role": "assistant", "content": "At nine."}, turn]):
        sent = {"input": {"messages": messages}}
        assert client.post("/v1/functions/turns/invoke", json=sent).status_code == 200
    assert gauges(client)["quickthaw_prefix_leases_total", "turns"] == 1
