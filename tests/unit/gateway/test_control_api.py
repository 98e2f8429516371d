"""Functions, versions, aliases, secrets, nodes, instances, checkpoints, keys and logs over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from redis import Redis

from quickthaw.resources import CheckpointInfo, InstanceInfo, KeyCreated, LogLine, NodeInfo
from quickthaw.types import FunctionInfo, Network, Version
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_platform import plugins
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.remote_index import RemoteIndex
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.worker import commands
from tests.state import announce_node
from tests.unit.gateway.conftest import ECHO, error_of
from tests.unit.gateway.node import FakeNode
from tests.unit.gateway.sse import messages

INPUT = {"input": {"prompt": "hi"}}


def data(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200
    assert answer.json["object"] == "list"
    found: list[dict[str, Any]] = answer.json["data"]
    return found


def test_a_function_from_deploy_to_delete(client: FlaskClient) -> None:
    version = Version.model_validate(client.post("/v1/functions", json=ECHO).json)
    assert version.number == 1
    (listed,) = data(client.get("/v1/functions"))
    info = FunctionInfo.model_validate(listed)
    assert info.aliases == {"live": {version.id: 1.0}}
    assert (info.versions, info.instances, info.running, info.waiting) == (1, 0, 0, 0)
    assert client.get("/v1/functions/chat").json == listed
    assert client.delete("/v1/functions/chat").json == {"deleted": True}
    assert client.get("/v1/functions/chat").status_code == 404
    assert client.delete("/v1/functions/chat").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "name", "hint"),
    [
        ("POST", "/v1/functions?alais=staging", "alais", "did you mean 'alias'?"),  # else it would go live
        ("POST", "/v1/functions?requires=perplexity", "requires", "did you mean 'require'?"),
        ("POST", "/v1/functions/chat/invoke?alias=staging", "alias", "it takes none"),
        ("POST", "/t/chat?alias=staging", "alias", "it takes none"),
        ("GET", "/v1/functions/chat/logs?limt=5", "limt", "did you mean 'limit'?"),
        ("GET", "/v1/usage?form=1h", "form", "it takes by, function, since, until"),
        ("GET", "/v1/functions?limit=5", "limit", "it takes none"),
    ],
)
def test_a_parameter_of_the_query_that_nothing_is_done_with_is_refused(
    client: FlaskClient, method: str, path: str, name: str, hint: str
) -> None:
    client.post("/v1/functions", json=ECHO)
    refused = error_of(client.open(path, method=method, json={**ECHO, "concurrency": 3}))
    assert (refused["param"], refused["code"]) == (name, "invalid_request")
    assert hint in refused["message"]
    assert len(data(client.get("/v1/functions/chat/versions"))) == 1


def test_clients_of_others_may_send_parameters_that_change_nothing(client: FlaskClient) -> None:
    client.post("/v1/functions", json=ECHO)
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    assert client.post("/v1/messages?beta=true", json=body).status_code == 200


def test_two_deploys_at_once_both_stand(app: OpenAPI, client: FlaskClient) -> None:
    def deploy(concurrency: int) -> int:
        own = app.test_client()
        own.environ_base.update(client.environ_base)
        return own.post("/v1/functions", json={**ECHO, "concurrency": concurrency}).status_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(deploy, range(20, 26))) == [200] * 6
    assert sorted(v["number"] for v in data(client.get("/v1/functions/chat/versions"))) == list(range(1, 8))


def test_aliases_canary_and_rollback(client: FlaskClient) -> None:
    first = client.get("/v1/functions/chat/versions").json["data"][0]["id"]  # type: ignore[index]
    second = client.post("/v1/functions", json={**ECHO, "concurrency": 2}).json["id"]  # type: ignore[index]
    canary = client.put("/v1/functions/chat/aliases/live", json={"weights": {"1": 9, second: 1}})
    assert canary.json == {"name": "live", "weights": {first: 0.9, second: 0.1}}
    back = client.post("/v1/functions/chat/rollback", json={})
    assert back.json == {"name": "live", "weights": {second: 1.0}}
    named = client.post("/v1/functions/chat/rollback", json={"version": "1"})
    assert named.json == {"name": "live", "weights": {first: 1.0}}
    client.put("/v1/functions/chat/aliases/staging", json={"weights": {"2": 1}})
    assert [alias["name"] for alias in data(client.get("/v1/functions/chat/aliases"))] == ["live", "staging"]
    assert client.delete("/v1/functions/chat/aliases/staging").status_code == 200
    assert client.delete("/v1/functions/chat/aliases/live").status_code == 409
    assert client.put("/v1/functions/chat/aliases/live", json={"weights": {"7": 1}}).status_code == 404
    assert client.put("/v1/functions/chat/aliases/No", json={"weights": {"1": 1}}).status_code == 400


def test_a_handler_with_a_syntax_error_is_refused_with_its_line(client: FlaskClient) -> None:
    source = "def chat(model):\n    return (\n"
    spec = {**ECHO, "source": {"function.py": source}, "handler": {"file": "function.py", "object": "chat"}}
    answer = client.post("/v1/functions", json=spec)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"]["code"] == "invalid_source"
    assert "function.py, line 2" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"engine": "eco"}, 404, "known: echo"),
        ({"model": "tyni"}, 404, "known: tiny"),
        ({"options": {"tokn_delay": 1}}, 400, "token_delay"),
        ({"keep_alive": "often"}, 400, "is not a duration"),
        ({"name": "Not A Name"}, 400, "name"),
        ({"extra": 1}, 400, "extra"),
        ({"source": {"../f.py": ""}}, 400, "relative path"),
        ({"max_instances": 0}, 400, "max_instances"),
    ],
)
def test_a_bad_deploy_says_why(client: FlaskClient, change: dict[str, Any], status: int, says: str) -> None:
    answer = client.post("/v1/functions", json={**ECHO, **change})
    assert answer.status_code == status
    assert answer.json is not None
    assert says in answer.json["error"]["message"]


def test_what_fits_on_no_node_is_refused_with_the_sizes(client: FlaskClient, redis: Redis) -> None:
    large = {**ECHO, "memory": "100GiB"}
    refused = client.post("/v1/functions", json=large)
    assert refused.status_code == 400
    assert "reserves 100.00 GiB, and the largest node that it may run on (n1) has 64.00 GiB" in refused.text
    announce_node(redis, "n2", memory_bytes=128 << 30, device="cuda:0", labels='{"zone": "a"}')
    assert client.post("/v1/functions", json=large).status_code == 200
    assert client.post("/v1/functions", json={**large, "device": "cpu"}).status_code == 400
    assert client.post("/v1/functions", json={**large, "labels": {"zone": "a"}}).status_code == 200
    assert client.post("/v1/functions", json={**large, "labels": {"zone": "b"}}).status_code == 200  # such may come


def test_a_checkpoint_larger_than_any_dram_budget_is_refused_at_deploy(client: FlaskClient, redis: Redis) -> None:
    announce_node(redis, memory_bytes=64 << 30, checkpoints='["big"]', tiers=json.dumps({"dram_bytes": 1 << 30}))
    big = CheckpointInfo(id="big", name="big", task="generate", bytes=3 << 30, context_tokens=128)
    Catalogue(redis).announce([big])
    refused = client.post("/v1/functions", json={**ECHO, "model": "big"})
    assert refused.status_code == 400
    assert "'big' takes 3.00 GiB of memory" in refused.text
    assert "(n1) is 1.00 GiB" in refused.text


@pytest.mark.parametrize(
    ("adapter_bytes", "says"),
    [
        (1 << 40, "reserves 1"),  # each instance has a copy of it
        (2 << 30, "'tiny' with its adapter takes 2.00 GiB"),
    ],
)
def test_an_adapter_counts_where_the_room_is_checked(
    client: FlaskClient, redis: Redis, adapter_bytes: int, says: str
) -> None:
    announce_node(redis, memory_bytes=64 << 30, tiers=json.dumps({"dram_bytes": 1 << 30}))
    lora = CheckpointInfo(id="a1", name="lora", task="adapter", bytes=adapter_bytes, context_tokens=0)
    Catalogue(redis).announce([lora])
    refused = client.post("/v1/functions", json={**ECHO, "adapter": "lora"})
    assert refused.status_code == 400
    assert says in refused.text


def test_an_admin_gives_a_checkpoints_name_to_another_importer(client: FlaskClient, redis: Redis) -> None:
    alice, bob = "a1" * 32, "b0" * 32
    mine = CheckpointInfo(id="m1", name="mine", task="generate", bytes=1, context_tokens=8, signer=alice)
    his = mine.model_copy(update={"id": "h1", "signer": bob})
    Catalogue(redis).announce([mine, his])
    assert client.get("/v1/checkpoints/mine").get_json()["signer"] == alice
    assert client.post("/v1/checkpoints/mine/move", json={"signer": "bob"}).status_code == 400
    assert client.post("/v1/checkpoints/none/move", json={"signer": bob}).status_code == 404
    assert client.post("/v1/checkpoints/mine/move", json={"signer": bob}).get_json()["signer"] == bob
    Catalogue(redis).announce([mine, his])
    assert client.get("/v1/checkpoints/mine").get_json()["id"] == "h1"


def test_what_a_function_reaches_is_shown(client: FlaskClient) -> None:
    made = client.post("/v1/functions", json={**ECHO, "network": "egress", "egress": ["api.example.com"]})
    assert made.status_code == 200, made.text
    shown = client.get(f"/v1/functions/{ECHO['name']}").get_json()
    assert (shown["network"], shown["egress"]) == ("egress", ["api.example.com"])
    refused = client.post("/v1/functions", json={**ECHO, "egress": ["api.example.com"]})
    assert refused.status_code == 400
    assert "`egress` lists what is reached" in refused.get_json()["error"]["message"]


def test_an_adapter_in_use_is_kept_and_shown(
    client: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapting = type("Adapting", (EchoEngine,), {"adapt": lambda _self, _adapter: None})
    monkeypatch.setattr(plugins, "engine_class", lambda _name: adapting)
    Catalogue(redis).announce([CheckpointInfo(id="a1", name="lora", task="adapter", bytes=1, context_tokens=0)])
    deployed = client.post("/v1/functions", json={**ECHO, "adapter": "lora"})
    assert deployed.get_json()["adapter_checkpoint"] == "a1"
    assert client.get(f"/v1/functions/{ECHO['name']}").get_json()["adapter"] == "lora"
    refused = client.delete("/v1/checkpoints/lora")
    assert (refused.status_code, "is used by" in refused.text) == (409, True)


def test_an_adapter_that_is_not_there_is_refused_by_its_field(client: FlaskClient) -> None:
    refused = client.post("/v1/functions", json={**ECHO, "adapter": "nope"})
    assert (refused.status_code, refused.get_json()["error"]["param"]) == (404, "adapter")


def test_without_a_node_anything_can_be_deployed(client: FlaskClient, redis: Redis) -> None:
    redis.delete("qt:nodes")
    assert client.post("/v1/functions", json={**ECHO, "memory": "100GiB"}).status_code == 200


def test_a_nodes_labels_are_shown(client: FlaskClient, redis: Redis) -> None:
    announce_node(redis, labels='{"zone": "a"}')
    (shown,) = data(client.get("/v1/nodes"))
    assert shown["labels"] == {"zone": "a"}


def test_deploying_disturbs_nothing_that_runs(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions/chat/invoke", json=INPUT)
    node.holding = True
    old = client.post("/v1/functions/chat/async", json=INPUT).json
    client.post("/v1/functions", json={**ECHO, "concurrency": 2})
    new = client.post("/v1/functions/chat/async", json=INPUT).json
    node.release()
    assert old is not None
    assert new is not None
    assert old["version"] != new["version"]
    for call in (old, new):
        assert client.get(f"/v1/invocations/{call['id']}").json["state"] == "succeeded"  # type: ignore[index]


def test_deleting_a_function_lets_run_what_runs_and_cancels_what_waits(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions", json={**ECHO, "concurrency": 1})
    client.post("/v1/functions/chat/invoke", json=INPUT)
    node.holding = True
    running = client.post("/v1/functions/chat/async", json=INPUT).json
    waiting = client.post("/v1/functions/chat/async", json=INPUT).json
    assert running is not None
    assert waiting is not None
    assert (running["state"], waiting["state"]) == ("assigned", "queued")
    assert client.delete("/v1/functions/chat").status_code == 200
    ended = client.get(f"/v1/invocations/{waiting['id']}").json
    assert ended is not None
    assert "was deleted" in ended["error"]["message"]
    assert node.told(commands.STOP) == []  # its instance still serves
    node.take_up()
    assert client.get(f"/v1/invocations/{running['id']}").json["state"] == "succeeded"  # type: ignore[index]


def test_deleting_an_idle_function_stops_its_instances(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions/chat/invoke", json=INPUT)
    (instance,) = node.slots.instances()
    client.delete("/v1/functions/chat")
    assert node.told(commands.STOP) == [{"instance": instance.id}]


def test_secrets_are_never_read_back(client: FlaskClient, redis: Redis, tmp_path: Path) -> None:
    assert client.put("/v1/functions/chat/secrets/TOKEN", json={"value": "s3cret"}).status_code == 503
    SecretStore(redis).announce(KeyFile(tmp_path / KEY_FILE))
    assert client.put("/v1/functions/chat/secrets/TOKEN", json={"value": "s3cret"}).json == {"name": "TOKEN"}
    listed = client.get("/v1/functions/chat/secrets")
    assert data(listed) == [{"name": "TOKEN"}]
    assert b"s3cret" not in listed.data
    assert client.put("/v1/functions/chat/secrets/A-B", json={"value": "x"}).status_code == 400
    assert client.delete("/v1/functions/chat/secrets/TOKEN").status_code == 200
    assert client.delete("/v1/functions/chat/secrets/TOKEN").status_code == 404
    assert client.get("/v1/functions/nobody/secrets").status_code == 404


def test_nodes_and_instances(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions/chat/invoke", json=INPUT)
    shown = NodeInfo.model_validate(data(client.get("/v1/nodes"))[0])
    assert (shown.id, shown.state, shown.instances) == ("n1", "ready", 1)
    assert shown.memory_free_bytes < shown.memory_bytes
    instance = InstanceInfo.model_validate(data(client.get("/v1/instances"))[0])
    assert (instance.function, instance.state, instance.in_use) == ("chat", "ready", 0)
    assert instance.idle_since is not None
    assert (shown.network, instance.network, instance.egress) == (Network.HOST, Network.HOST, ())
    drained = client.post("/v1/nodes/n1/drain")
    assert (drained.status_code, drained.json["state"]) == (200, "draining")  # type: ignore[index]
    assert node.told(commands.DRAIN) == [{}]
    assert client.post("/v1/nodes/n2/drain").status_code == 404
    assert client.delete(f"/v1/instances/{instance.id}").status_code == 200
    assert node.told(commands.STOP) == [{"instance": instance.id}]
    assert client.delete("/v1/instances/nope").status_code == 404


def test_instances_say_what_their_code_reaches_by_network(client: FlaskClient, node: FakeNode, redis: Redis) -> None:
    redis.hset("qt:node:n1", mapping={"isolation": "strict", "network": "none"})
    fetching = {**ECHO, "name": "fetch", "network": "egress", "egress": ["api.example.com", "10.1.0.0/16:8080"]}
    assert client.post("/v1/functions", json=fetching).status_code == 200
    for name in ("chat", "fetch"):
        assert client.post(f"/v1/functions/{name}/invoke", json=INPUT).status_code == 200
    assert NodeInfo.model_validate(data(client.get("/v1/nodes"))[0]).network is Network.NONE
    found = [InstanceInfo.model_validate(row) for row in data(client.get("/v1/instances"))]
    assert {row.function: (row.network, row.egress) for row in found} == {
        "chat": (Network.NONE, ()),
        "fetch": (Network.EGRESS, ("api.example.com", "10.1.0.0/16:8080")),
    }


def test_checkpoints(client: FlaskClient, node: FakeNode) -> None:
    shown = [CheckpointInfo.model_validate(entry) for entry in data(client.get("/v1/checkpoints"))]
    assert [(entry.name, entry.nodes) for entry in shown] == [("tiny", ("n1",)), ("tiny-embed", ("n1",))]
    assert client.get("/v1/checkpoints/tiny").get_json()["copies"] == [
        {"node": "n1", "tiers": ["disk"], "arriving_bytes": None, "push_error": None}
    ]
    assert client.delete("/v1/checkpoints/tiny").status_code == 409  # chat uses it
    assert client.delete("/v1/checkpoints/tiny-embed").status_code == 200
    assert node.told(commands.FORGET_CHECKPOINT) == [{"checkpoint": "e1"}]
    assert client.delete("/v1/checkpoints/tiny-embed").status_code == 404


def test_checkpoints_move_between_the_tiers_of_a_node(client: FlaskClient, node: FakeNode, redis: Redis) -> None:
    RemoteIndex(redis).replace("s3://bucket", ["c1"])
    tiers = {"dram": [], "arriving": {"c1": 7}, "bandwidths": {"remote": 1e9}, "dram_bytes": 100}
    redis.hset("qt:node:n1", mapping={"checkpoints": "[]", "tiers": json.dumps(tiers), "remote": "s3://bucket"})
    copy = {"node": "n1", "tiers": ["remote"], "arriving_bytes": 7, "push_error": None}
    assert client.get("/v1/checkpoints/tiny").get_json()["copies"] == [copy]
    assert client.post("/v1/checkpoints/tiny/pull", json={"node": "n1"}).status_code == 202
    assert node.told(commands.PULL_CHECKPOINT) == [{"checkpoint": "c1"}]
    assert client.post("/v1/checkpoints/tiny/evict", json={"node": "n1", "tier": "disk"}).status_code == 202
    assert node.told(commands.EVICT_CHECKPOINT) == [{"checkpoint": "c1", "tier": "disk"}]
    assert data(client.get("/v1/nodes"))[0]["bandwidths"] == {"remote": 1e9}


@pytest.mark.parametrize(
    ("name", "what", "body", "status"),
    [
        ("nope", "pull", {"node": "n1"}, 404),
        ("tiny", "pull", {"node": "n9"}, 404),
        ("tiny", "evict", {"node": "n9"}, 404),
        ("tiny", "evict", {"node": "n1", "tier": "remote"}, 400),  # `models rm` does that
        ("tiny-embed", "pull", {"node": "n1"}, 503),  # it is nowhere that the node could fetch it from
    ],
)
def test_what_cannot_be_moved_is_refused(
    client: FlaskClient, redis: Redis, name: str, what: str, body: dict[str, str], status: int
) -> None:
    redis.hset("qt:node:n1", "checkpoints", '["c1"]')
    assert client.post(f"/v1/checkpoints/{name}/{what}", json=body).status_code == status


def test_keys(client: FlaskClient, app: OpenAPI) -> None:
    body = {"name": "ci", "scopes": ["deploy", "invoke"], "quotas": {"requests": "40 per 3 hours"}}
    answer = client.post("/v1/keys", json=body)
    assert answer.status_code == 201
    created = KeyCreated.model_validate(answer.json)
    listed = client.get("/v1/keys")
    assert created.key.encode() not in listed.data
    assert {entry["name"] for entry in data(listed)} == {"test", "ci"}
    other = app.test_client()
    headers = {"Authorization": f"Bearer {created.key}"}
    assert other.get("/v1/functions", headers=headers).status_code == 200
    assert client.delete(f"/v1/keys/{created.id}").status_code == 200
    assert other.get("/v1/functions", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "rate", ["lots", "", "0 per minute", "5 per 99999999999 years", "99999999999999999999 per minute"]
)
def test_a_quota_that_cannot_be_counted_is_refused(client: FlaskClient, rate: str) -> None:
    """Each call of a key with such a one would fail."""
    refused = error_of(client.post("/v1/keys", json={"name": "x", "quotas": {"requests": rate}}))
    assert refused["param"] == "quotas.requests"


def write_log(redis: Redis, *lines: str) -> None:
    for line in lines:
        redis.xadd("qt:logs:chat", {"t": "1.5", "line": line, "stream": "stdout", "invocation": "i1", "node": "n1"})


def test_logs_are_read_by_position(client: FlaskClient, redis: Redis) -> None:
    write_log(redis, "one", "two", "three")
    lines = [LogLine.model_validate(entry) for entry in data(client.get("/v1/functions/chat/logs"))]
    assert [line.line for line in lines] == ["one", "two", "three"]
    assert lines[0].invocation == "i1"
    rest = data(client.get(f"/v1/functions/chat/logs?after={lines[0].id}&limit=1"))
    assert [entry["line"] for entry in rest] == ["two"]
    assert [e["line"] for e in data(client.get("/v1/functions/chat/logs?limit=1"))] == ["three"]
    assert client.get("/v1/functions/chat/logs?after=x").status_code == 400
    assert client.get("/v1/functions/nobody/logs").status_code == 404


def test_logs_are_followed(client: FlaskClient, redis: Redis) -> None:
    write_log(redis, "one")
    response = client.get("/v1/functions/chat/logs?follow=true", buffered=False)
    seen: list[str] = []
    positions: list[str | None] = []
    for piece in response.iter_encoded():
        for message in messages(piece):
            seen.append(message.data["line"])
            positions.append(message.id)
        if seen == ["one"]:
            write_log(redis, "two", "thr\nee")
        if len(seen) == 3:
            break
    response.close()
    assert seen == ["one", "two", "thr\nee"]
    headers = {"Last-Event-ID": positions[1] or ""}
    again = client.get("/v1/functions/chat/logs?follow=true", headers=headers, buffered=False)
    assert next(m for piece in again.iter_encoded() for m in messages(piece)).data["line"] == "thr\nee"
    again.close()


def test_an_alias_of_a_deploy_is_validated(client_of: Callable[..., FlaskClient], node: FakeNode) -> None:
    assert client_of().post("/v1/functions?alias=Bad%20One", json=ECHO).status_code == 400
