"""The OpenAPI document: whole, and told in words in docs/http-api.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask_openapi3.openapi import OpenAPI

from quickthaw_platform.errors import QuickthawError

DOCUMENT = Path(__file__).parents[3] / "docs" / "http-api.md"
OPEN = {"/", "/version", "/health", "/v1/health", "/ping", "/healthz", "/readyz", "/metrics"}


@pytest.fixture(scope="module")
def document(shared_app: OpenAPI) -> dict[str, Any]:
    answer = shared_app.test_client().get("/openapi.json")
    assert answer.json is not None
    found: dict[str, Any] = answer.json
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, op) for path, item in document["paths"].items() for method, op in item.items()]


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]


def test_every_operation_says_what_it_does_needs_and_answers(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation["tags"], (path, method)
        assert {"4XX", "5XX"} < set(operation["responses"]), (path, method)
        assert all(response["description"] for response in operation["responses"].values()), (path, method)
        assert ("security" in operation) == (path not in OPEN), (path, method)
    assert len({operation["operationId"] for _, _, operation in operations(document)}) == len(operations(document))


def test_every_endpoint_is_in_the_http_document_with_an_example(document: dict[str, Any]) -> None:
    text = DOCUMENT.read_text()
    for path, method, _ in operations(document):
        assert f"`{method.upper()} {path}`" in text, f"docs/http-api.md does not tell of {method.upper()} {path}"
        fixed = path.split("{")[0].rstrip("/")
        assert re.search(rf"curl [^\n]*{re.escape(fixed)}", text), f"docs/http-api.md has no example of {path}"


def test_the_http_document_names_no_endpoint_that_is_not_there(document: dict[str, Any]) -> None:
    told = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[^`\s]*)`", DOCUMENT.read_text()))
    there = {(method.upper(), path) for path, method, _ in operations(document)}
    assert told - {("GET", "/openapi.json"), ("GET", "/docs/")} <= there


def test_every_error_code_is_in_the_http_document() -> None:
    text = DOCUMENT.read_text()
    codes = {kind.default_code for kind in _tree(QuickthawError) if kind.__module__ == "quickthaw.errors"}
    for code in sorted(codes - {"not_found", "unreachable"}):
        assert f"`{code}`" in text, f"docs/http-api.md does not explain the error code {code}"


def test_the_rendered_page_needs_nothing_from_the_network(shared_app: OpenAPI) -> None:
    client = shared_app.test_client()
    assert client.get("/docs").status_code == 308
    page = client.get("/docs/").text
    assert "http://" not in page
    assert "https://" not in page
    for source in re.findall(r'(?:src|href)="([^"]+)"', page):
        with client.get(f"/docs/{source}") as asset:
            assert asset.status_code == 200, source


def test_the_gateway_imports_neither_torch_nor_an_engine() -> None:
    program = (
        "import sys, quickthaw_platform.gateway.app, quickthaw_platform.gateway.webhook_tasks;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'quickthaw_backends')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_gunicorns_configuration_is_read_before_anything_is_patched() -> None:
    program = (
        "import sys, quickthaw_platform.gateway.gunicorn_conf;"
        "sys.exit('redis' in sys.modules or 'flask' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def _tree(kind: type[QuickthawError]) -> list[type[QuickthawError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _tree(child))]
