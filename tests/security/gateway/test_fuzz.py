"""Whatever is sent, by whatever name, path, header and body: the gateway answers, and never with a fault of its own."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.made_up import examples

ANY = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
"""What a header may hold in WSGI: characters for bytes."""

NAMES = st.sampled_from(
    [
        "chat",
        "chat:live",
        "chat:secrets",
        "live",
        "TOKEN",
        "n1",
        "tiny",
        "0" * 32,
        "resp_" + "0" * 32,
        "..",
        "%00",
        "%ff",
    ]
)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "INVENTED"])
HOSTS = (
    st.sampled_from(["localhost", "127.0.0.1:1", "[::1]", "[", "evil.example", "localhost:x", "", "a@b", "\xff"]) | ANY
)
TYPES = st.sampled_from(
    [
        "application/json",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "; charset=x",
        "a/b;c=\xff",
    ]
)
HEADERS: dict[str, st.SearchStrategy[str]] = {
    "HTTP_HOST": HOSTS,
    "CONTENT_TYPE": TYPES | ANY,
    "CONTENT_LENGTH": st.sampled_from(["-1", "0", "5", "x", "9" * 30, "1e3", ""]),
    "HTTP_CONTENT_ENCODING": st.sampled_from(["gzip", "deflate", "gzip,gzip", "br", ""]) | ANY,
    "HTTP_ORIGIN": st.sampled_from(["null", "http://localhost", "http://[", "https://evil.example"]) | ANY,
    "HTTP_SEC_FETCH_SITE": st.sampled_from(["cross-site", "same-origin", "none"]) | ANY,
    "HTTP_AUTHORIZATION": st.sampled_from(["Bearer", "Bearer x", "Basic \xff", "bearer  "]) | ANY,
    "HTTP_X_API_KEY": ANY,
    "HTTP_X_REQUEST_ID": ANY,
    "HTTP_IDEMPOTENCY_KEY": ANY,
    "HTTP_LAST_EVENT_ID": st.sampled_from(["0", "-1", "٣", "9" * 40, "1-1", "x"]) | ANY,
    "HTTP_ACCEPT": ANY,
    "HTTP_TRANSFER_ENCODING": st.sampled_from(["chunked", "identity", "x"]),
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": ANY,
    "HTTP_COOKIE": ANY,
    "HTTP_IF_NONE_MATCH": ANY,
    "HTTP_RANGE": ANY,
    "HTTP_TRACEPARENT": ANY,
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(["name", "model", "input", "alias", "weights", "node", "key", "value", "scopes", "prompt"])
BROKEN = [b"", b"{}", b"[]", b"null", b'{"a":1e999}', b'{"a":"\\ud800"}', b"[" * 3000, gzip.compress(b"{}")]
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(BROKEN),
    st.dictionaries(FIELDS, VALUES, max_size=4).map(lambda value: json.dumps(value).encode()),
)
QUERIES = st.sampled_from(
    ["", "alias=live", "limit=0", "limit=x", "after=%00", "metadata[=1", "since=%ff", "by=x", "require=%00", "a" * 3000]
)


def sent(
    client: FlaskClient, path: str, method: str, query: str, body: bytes, headers: dict[str, str]
) -> dict[str, Any]:
    """Return what a server hands to the application for a request with the client's key."""
    builder = EnvironBuilder(method=method, data=body, environ_base=client.environ_base)
    environ = dict(builder.get_environ())
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
    return {**environ, "QUERY_STRING": query, "wsgi.input_terminated": True, **headers}


@pytest.fixture
def rules(app: OpenAPI) -> list[str]:
    return sorted({rule.rule for rule in app.url_map.iter_rules()} - {"/v1/models/events"})


def test_nothing_that_is_sent_is_a_fault_of_the_gateway(client: FlaskClient, rules: list[str]) -> None:
    @hypothesis_settings(max_examples=examples(300), suppress_health_check=list(HealthCheck))
    @given(
        rule=st.sampled_from(rules) | ANY.map("/{}".format) | st.just("/v1/%ff/../t//chat"),
        name=NAMES | ANY,
        method=METHODS,
        query=QUERIES | ANY,
        body=BODIES,
        headers=st.dictionaries(st.sampled_from(sorted(HEADERS)), st.none(), max_size=3).flatmap(
            lambda chosen: st.fixed_dictionaries({header: HEADERS[header] for header in chosen})
        ),
    )
    @example("/t/<name>", "chat", "POST", "", b"{}", {"HTTP_HOST": "["})
    @example("/v1/models", "", "GET", "", b"", {"HTTP_ORIGIN": "http://["})
    @example("/v1/functions/<name>/invoke", "chat:versions", "POST", "", b'{"input": {}}', {})
    def try_one(rule: str, name: str, method: str, query: str, body: bytes, headers: dict[str, str]) -> None:
        path = re.sub(r"<[\w:]+>", lambda _: name, rule)
        environ = sent(client, path, method, query, body, headers)
        chunks, status, answered = run_wsgi_app(client.application, environ)
        try:
            code = int(status.split()[0])
            streams = "event-stream" in answered.get("Content-Type", "")
            said = b"" if streams or method == "HEAD" else b"".join(chunks)
            if code >= 400 and said:
                error = json.loads(said)["error"]
                assert error["message"], (environ, said)
                code = (
                    0 if (code, error.get("code")) == (503, "unavailable") else code
                )  # it waits for what is not there
            assert code < 500, (method, path, query, headers, said)
        finally:
            getattr(chunks, "close", lambda: None)()

    try_one()


def test_many_small_archives_in_a_body_hold_up_nobody(client: FlaskClient) -> None:
    """Each gzip file costs a copy of what is behind it: 3,000 of them took a second for 60 kB."""
    body = gzip.compress(b"") * 3000
    answer = client.post("/v1/functions/chat/invoke", data=body[: 60 << 10], headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert "gzip files one after another" in answer.get_json()["error"]["message"]
