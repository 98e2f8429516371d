"""What holds for every command: one-line errors, and commands that other packages add."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint

import click
import httpx
import pytest
from click.testing import Result

from quickthaw.cli import root
from quickthaw.version import VERSION
from tests.unit.sdk.fake_gateway import URL, FakeGateway, failed

Run = Callable[..., Result]


@click.command()
def added() -> None:
    """Come from elsewhere."""
    click.echo("added ran")


NOT_A_COMMAND = object()


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "provider", sys.modules[__name__])
    points = [
        EntryPoint("added", "provider:added", root.PLUGINS),
        EntryPoint("models-import", "provider:added", root.PLUGINS),
        EntryPoint("missing", "no_such_module:command", root.PLUGINS),
        EntryPoint("odd", "provider:NOT_A_COMMAND", root.PLUGINS),
        EntryPoint("broken", "provider:no_such_name", root.PLUGINS),
        EntryPoint("ls", "provider:added", root.PLUGINS),
    ]
    monkeypatch.setattr(root, "entry_points", lambda group: points)


@pytest.mark.parametrize("command", [("added",), ("models", "import")])
def test_plugins_add_commands_and_subcommands(run: Run, plugins: None, command: tuple[str, ...]) -> None:
    assert run(FakeGateway([]), *command).stdout == "added ran\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing", "`quickthaw missing` needs more: No module named 'no_such_module'; pip install 'quickthaw["),
        ("odd", "`quickthaw odd` is not a command"),
        ("broken", "`quickthaw broken` does not load"),
    ],
)  # fmt: skip
def test_a_plugin_that_does_not_load_says_so_in_one_line(run: Run, plugins: None, name: str, text: str) -> None:
    result = run(FakeGateway([]), name)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {text}")
    assert len(result.stderr.splitlines()) == 1


def test_the_help_skips_plugins_that_do_not_load(run: Run, plugins: None) -> None:
    result = run(FakeGateway([]), "--help")
    assert result.exit_code == 0
    assert "Come from elsewhere." in result.stdout
    skipped = [line for line in result.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 3


def test_a_plugin_does_not_replace_a_command_of_ours(run: Run, plugins: None) -> None:
    gateway = FakeGateway([httpx.Response(200, json={"object": "list", "data": []})])
    run(gateway, "ls")
    assert gateway.lines == ["GET /v1/functions"]


def test_no_gateway_is_one_line_that_says_what_to_do(run: Run) -> None:
    result = run(FakeGateway([httpx.ConnectError("[Errno 111] Connection refused")]), "ls")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    for text in (URL, "quickthaw up", "QUICKTHAW_URL"):
        assert text in result.stderr


def test_a_fault_of_ours_is_one_line_too(run: Run) -> None:
    result = run(FakeGateway([RuntimeError("surprise")]), "ls")
    assert result.exit_code == 1
    assert result.stderr == "Error: RuntimeError: surprise (`quickthaw --debug …` shows where)\n"


def test_debug_shows_the_traceback(run: Run) -> None:
    result = run(FakeGateway([failed(403, "permission_denied", "no")]), "--debug", "ls")
    assert result.exit_code == 1
    assert type(result.exception).__name__ == "PermissionDenied"


@pytest.mark.parametrize("arguments", [("nonsense",), ("ls", "--nonsense"), ("describe",), ("keys", "create")])
def test_usage_errors_exit_with_two(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(FakeGateway([]), *arguments).exit_code == 2


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert VERSION in run(FakeGateway([]), "--version").stdout
