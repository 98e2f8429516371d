"""A web page that somebody opens on the gateway's machine gets nothing from it, nor has it do anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from redis import Redis

from quickthaw_platform.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EVIL = "https://evil.example"
PUBLIC = {"/", "/version", "/health", "/v1/health", "/ping", "/healthz", "/readyz", "/metrics", "/openapi.json"}
"""What needs no key, beside the pages below /docs."""


def routes(app: OpenAPI) -> Iterator[tuple[str, str]]:
    """Yield the method and a path of each endpoint."""
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:filename>", "index.css")
        for name in rule.arguments:
            path = path.replace(f"<{name}>", "a")
        yield from ((method, path) for method in sorted(rule.methods or ()))


def is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith("/docs")


def test_every_call_but_the_public_pages_needs_a_key(app: OpenAPI) -> None:
    client = app.test_client()
    asked = [(method, path) for method, path in routes(app) if method != "OPTIONS" and not is_public(path)]
    assert len(asked) > 60
    let_in = [(method, path) for method, path in asked if client.open(path, method=method).status_code != 401]
    assert let_in == []


def test_what_needs_no_key_changes_nothing(app: OpenAPI, redis: Redis) -> None:
    client = app.test_client()
    asked = [(method, path) for method, path in routes(app) if is_public(path)]
    assert {method for method, _ in asked} - {"GET", "HEAD", "OPTIONS"} == {"POST"}
    before = sorted(redis.scan_iter())
    for method, path in asked:
        client.open(path, method=method)
    assert sorted(set(redis.scan_iter()) - {"qt:ready"}) == before


@pytest.mark.parametrize("path", ["/v1/functions", "/t/chat", "/metrics", "/docs/", "/nowhere"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
    ids=["other", "opaque", "another port", "broken", "without origin", "same site", "framed"],
)
def test_what_a_browser_sends_for_another_page_is_refused(
    app: OpenAPI, path: str, method: str, headers: dict[str, str]
) -> None:
    answer = app.test_client().open(path, method=method, headers=headers)
    assert answer.status_code == 403
    assert method == "HEAD" or "cors_origins" in answer.get_data(as_text=True)
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_page_cannot_deploy_with_a_form(app: OpenAPI, content_type: str) -> None:
    """What a browser sends without asking first. Where it names no page, the key is what is missing."""
    client = app.test_client()
    sent = {"data": '{"name": "csrf", "model": "tiny", "engine": "echo"}', "content_type": content_type}
    assert client.post("/v1/functions", headers={"Origin": EVIL}, **sent).status_code == 403
    assert client.post("/v1/functions", **sent).status_code == 401


def test_a_link_leads_to_the_documentation(app: OpenAPI) -> None:
    client = app.test_client()
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/docs/", headers=followed).status_code == 200
    assert client.post("/ping", headers=followed).status_code == 403  # a form that is sent is no link


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}, {}],
    ids=["same origin", "typed", "own", "no browser"],
)
def test_its_own_page_and_what_is_no_page_are_served(app: OpenAPI, headers: dict[str, str]) -> None:
    assert app.test_client().get("/openapi.json", headers=headers).status_code == 200


def test_what_carries_a_key_may_come_from_anywhere_and_as_anything(client: FlaskClient) -> None:
    """No page can add a key unasked, and curl calls what it sends a form."""
    for headers in ({"Origin": EVIL}, {"Sec-Fetch-Site": "cross-site"}, {}):
        sent = {"data": '{"prompt": "hi"}', "content_type": "application/x-www-form-urlencoded", "headers": headers}
        assert client.post("/t/chat", **sent).status_code == 200


def test_there_is_no_mode_without_keys() -> None:
    with pytest.raises(ValueError, match="require_api_key"):
        Settings(require_api_key=False)  # type: ignore[call-arg]
