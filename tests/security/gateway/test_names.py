"""A name in a path means a thing of its kind or nothing: no name makes the platform read one kind as another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from redis import Redis
from werkzeug.routing import Rule

from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from tests.unit.gateway.conftest import ECHO

SECRETS = ("created_at", "next_number", "aliases", "history")
"""Named like the fields of a function's record."""

NAMES = {
    "behind a colon": "chat:secrets",
    "versions": "chat:versions",
    "upper case": "Chat-1",
    "a sign first": "-chat",
    "dots": "..",
    "a slash": "a%2Fb",
    "a line": "chat%0A",
    "nothing": "%00",
    "a blank": "%20",
    "a star": "*",
    "braces": "%7Bchat%7D",
    "escape": "%1b%5D0;x",
    "no UTF-8": "%ff",
    "written right to left": "%D7%A9",
    "long": "a" * 2000,
}


def paths(app: OpenAPI, name: str) -> Iterator[tuple[Rule, str]]:
    """Yield each rule with parameters, and its path with `name` for one of them."""
    for rule in app.url_map.iter_rules():
        for argument in rule.arguments - {"filename"}:
            filled = rule.rule.replace(f"<{argument}>", name)
            yield rule, re.sub(r"<\w+>", "chat", filled)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_what_names_nothing_is_not_there_in_every_path(
    client: FlaskClient, app: OpenAPI, redis: Redis, name: str
) -> None:
    before = {key: redis.dump(key) for key in redis.scan_iter()}
    tried = 0
    for rule, path in paths(app, name):
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            answer = client.open(path, method=method, json=None if method in ("GET", "HEAD") else {})
            assert answer.status_code in (400, 404, 405), (method, path, answer.get_data(as_text=True))
            tried += 1
    assert tried > 50
    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


def test_secrets_named_like_fields_of_a_function_are_no_function(
    client: FlaskClient, redis: Redis, tmp_path: Path
) -> None:
    """They were, and a call of `chat:secrets` ran the version that they named."""
    SecretStore(redis).announce(KeyFile(tmp_path / KEY_FILE))
    version = client.get("/v1/functions/chat/versions").get_json()["data"][0]["id"]
    for name, value in zip(SECRETS, ("1", "9", f'{{"live": {{"{version}": 1}}}}', "{}"), strict=True):
        assert client.put(f"/v1/functions/chat/secrets/{name}", json={"value": value}).status_code == 200
    posed = "chat:secrets"
    assert client.get(f"/v1/functions/{posed}").status_code == 404
    assert client.post(f"/v1/functions/{posed}/invoke", json={"input": {"prompt": "hi"}}).status_code == 404
    assert client.post(f"/t/{posed}", json={"prompt": "hi"}).status_code == 404
    assert client.delete(f"/v1/functions/{posed}").status_code == 404
    chat = {"model": posed, "messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions", json=chat).status_code == 404
    assert not redis.exists(f"qt:function:{posed}")
    names = [secret["name"] for secret in client.get("/v1/functions/chat/secrets").get_json()["data"]]
    assert sorted(names) == sorted(SECRETS)


@pytest.mark.parametrize("posed", ["chat:versions", "chat:secrets", "chat:calls", "chat:learnt"])
def test_names_in_bodies_mean_no_other_kind_either(client: FlaskClient, posed: str) -> None:
    assert client.post("/t/chat", json={"prompt": "hi"}).status_code == 200
    for alias in (posed, f"{posed}:live", f"{posed}:"):
        asked = {"model": alias, "prompt": "hi"}
        assert client.post("/v1/completions", json=asked).status_code == 404


@pytest.mark.parametrize("part", ["log", "records"])
def test_a_part_of_an_invocation_is_no_invocation(client: FlaskClient, part: str) -> None:
    made = client.post("/v1/functions/chat/async", json={"input": {"prompt": "hi"}}).get_json()["id"]
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/life"), ("GET", "/explain")):
        answer = client.open(f"/v1/invocations/{made}:{part}{path}", method=method)
        assert answer.status_code == 404
        assert answer.get_json()["error"]["code"] == "invocation_not_found"
    assert client.get(f"/v1/invocations/{made}").status_code == 200


def test_a_refused_name_is_told_with_what_names_are(client: FlaskClient) -> None:
    error = client.get("/v1/functions/Chat").get_json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "name")
    assert "'Chat' cannot be the name of the function" in error["message"]
    assert "[a-z0-9._-]" in error["message"]


def test_a_wrong_name_is_shown_in_part(client: FlaskClient) -> None:
    answer = client.post("/v1/completions", json={"model": "x" * 50_000, "prompt": "hi"})
    assert answer.status_code == 404
    assert len(answer.data) < 1000


def test_patterns_of_names_are_in_the_document(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    named = [
        (path, parameter)
        for path, operations in paths.items()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "path"
    ]
    assert len(named) > 30
    assert [(path, p["name"]) for path, p in named if "pattern" not in p["schema"]] == []


def test_the_function_that_the_tests_pose_as_is_there(client: FlaskClient) -> None:
    assert client.get(f"/v1/functions/{ECHO['name']}").status_code == 200
