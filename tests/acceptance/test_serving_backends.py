"""One contract for every serving backend, on a real platform and beside a real server."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from quickthaw import Client, FunctionSpec
from quickthaw_platform import plugins
from quickthaw_platform.commands.ports import claim_port
from quickthaw_platform.serving import Deployment, Endpoint, ServingBackend
from tests.acceptance.cluster import Cluster, wait_for
from tests.integration.worker.echo_checkpoint import MODEL
from tests.process_facts import command_of, living

NAMES = ("serverless", "serverful", "hybrid", "endpoint")
SPEC = FunctionSpec(name="served", model=MODEL, engine="echo", max_instances=3, keep_alive=30, concurrency=1)
SERVER = Path(__file__).parents[1] / "integration" / "comparison" / "server.py"


@pytest.fixture
def make(cluster: Cluster) -> Callable[..., ServingBackend]:
    """Return how to make a backend by its name, on the function `served`."""
    gateway = Endpoint(cluster.url, "", {"Authorization": f"Bearer {cluster.api_key}"})

    def made(name: str, alias: str = "tried", **fields: object) -> ServingBackend:
        if name == "endpoint":
            port = claim_port("127.0.0.1", 0)
            command = shlex.join([sys.executable, str(SERVER), str(port)])
            where = Endpoint(f"http://127.0.0.1:{port}", "any")
            return plugins.serving_backend(name)(Deployment(endpoint=where, options={"command": command}))
        spec = SPEC.model_copy(update=fields)
        return plugins.serving_backend(name)(Deployment(spec, alias, cluster.client, gateway))

    return made


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest, make: Callable[..., ServingBackend]) -> Iterator[ServingBackend]:
    """Each backend, taken down in the end."""
    made = make(request.param)
    yield made
    made.down()


def ask(endpoint: Endpoint) -> str:
    """Call it as an OpenAI client would, and return the text of the stream's events."""
    body = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": "one two three"}],
        "max_tokens": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    url, headers = f"{endpoint.url}/v1/chat/completions", dict(endpoint.headers)
    answer = httpx.post(url, json=body, headers=headers, timeout=60)
    answer.raise_for_status()
    return answer.text


def used(backend: ServingBackend) -> float:
    return sum(row.seconds for row in backend.usage())


def test_it_serves_once_it_is_up_and_what_it_uses_only_grows(backend: ServingBackend) -> None:
    assert used(backend) == 0
    endpoint = backend.up()
    assert backend.up() == endpoint  # again
    assert "[DONE]" in ask(endpoint)
    assert backend.failure() is None
    first = wait_for(lambda: used(backend), "the first usage")
    wait_for(lambda: used(backend) > first, "more usage")
    assert (backend.load().ready or 0) >= 1


def test_when_it_is_down_nothing_of_it_is_left_and_what_it_used_stays_told(backend: ServingBackend) -> None:
    backend.down()  # before it was up
    ask(backend.up())
    before = wait_for(lambda: used(backend), "usage")
    backend.down()
    backend.down()
    load = backend.load()
    assert not load.ready
    assert not load.starting
    assert used(backend) >= before
    assert not [p for p in psutil.Process().children(recursive=True) if str(SERVER) in command_of(p)]


def test_it_comes_up_again(backend: ServingBackend) -> None:
    backend.up()
    backend.down()
    assert "[DONE]" in ask(backend.up())


def test_what_others_used_of_the_same_version_is_not_its_own(make: Callable[..., ServingBackend]) -> None:
    first = make("serverful")
    ask(first.up())
    wait_for(lambda: [row for row in first.usage() if row.requests], "the usage of a call")
    first.down()
    second = make("serverful")  # the same spec: the same version
    second.up()
    assert not [row for row in second.usage() if row.requests]
    second.down()


def test_a_serverless_function_has_nothing_until_it_is_called(make: Callable[..., ServingBackend]) -> None:
    backend = make("serverless")
    endpoint = backend.up()
    assert backend.load().ready == 0
    ask(endpoint)
    assert backend.load().ready == 1
    backend.down()


@pytest.mark.parametrize("name", ["serverful", "hybrid"])
def test_replicas_are_there_before_any_call_and_idle_time_is_metered_as_what_it_is(
    make: Callable[..., ServingBackend], name: str
) -> None:
    backend = make(name, replicas=2)
    backend.up()
    assert backend.load().ready == 2

    def idle() -> float:
        return sum(row.seconds for row in backend.usage() if row.phase == "idle")

    first = wait_for(idle, "idle time of two replicas")
    wait_for(lambda: idle() > first, "more of it")
    assert not [row for row in backend.usage() if row.phase in ("prefill", "decode") and row.requests]
    assert {row.backend for row in backend.usage()} == {name}
    backend.down()


def test_a_dead_replica_is_replaced(make: Callable[..., ServingBackend], cluster: Cluster) -> None:
    backend = make("serverful", replicas=2)
    endpoint = backend.up()
    ours = {i.id for i in cluster.client.instances() if i.function == SPEC.name and i.state in ("loaded", "ready")}
    processes = living(cluster.descendants("worker"), "qt-instance")
    victim = max(processes, key=lambda process: process.create_time())
    os.kill(victim.pid, signal.SIGKILL)

    def replaced() -> bool:
        now = {i.id for i in cluster.client.instances() if i.function == SPEC.name and i.state in ("loaded", "ready")}
        return len(now) == 2 and now != ours

    wait_for(replaced, "the replacement of a dead replica", 60)
    assert "[DONE]" in ask(endpoint)
    backend.down()


def test_one_function_runs_on_several_backends_under_different_aliases(
    make: Callable[..., ServingBackend], cluster: Cluster
) -> None:
    always, never = make("serverful", "always"), make("serverless", "never")
    one, other = always.up(), never.up()
    assert (one.model, other.model) == ("served:always", "served:never")
    assert "[DONE]" in ask(one)
    assert "[DONE]" in ask(other)
    versions: dict[str, str] = {}
    for version in cluster.client.versions("served"):
        versions[version.id] = version.spec.backend
    backends = {versions[i.version] for i in cluster.client.instances() if i.function == "served"}
    assert backends == {"serverful", "serverless"}
    never.down()
    assert "[DONE]" in ask(one)
    always.down()


def test_a_deploy_settles_what_it_means(cluster: Cluster) -> None:
    client: Client = cluster.client
    version = client.deploy(SPEC.model_copy(update={"name": "settled", "backend": "serverful", "replicas": 2}))
    assert (version.spec.min_instances, version.spec.max_instances) == (2, 3)
    again = client.deploy(SPEC.model_copy(update={"name": "settled", "backend": "serverful", "replicas": 2}))
    assert again.id == version.id
    client.delete_function("settled")
