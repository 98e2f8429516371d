"""Run the command against a scripted gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from quickthaw import Client
from quickthaw.cli import root
from quickthaw.cli.main import main
from tests.unit.sdk.fake_gateway import NO_WAIT, URL, FakeGateway

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run(gateway, "ls", "--json", input=…)`."""

    def invoke(gateway: FakeGateway, *args: str, input: str | bytes | None = None) -> Result:
        def client(url: str | None, api_key: str | None) -> Client:
            return Client(url or URL, api_key, backoff=NO_WAIT, transport=gateway.transport)

        monkeypatch.setattr(root, "Client", client)
        monkeypatch.setenv("QUICKTHAW_DATA_DIR", str(tmp_path))
        return CliRunner().invoke(main, args, input=input, prog_name="quickthaw")

    return invoke


def pytest_make_parametrize_id(val: Any) -> str | None:
    """Name a case after its command line; other things have addresses in their text, new ones in each process."""
    if isinstance(val, tuple) and all(isinstance(part, str) for part in val):
        return ascii(" ".join(val)[:60])[1:-1]
    return None
