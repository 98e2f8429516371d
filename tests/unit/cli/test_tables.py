"""Every table that the command prints, at 80 columns and into a file: no name and no heading is cut or broken."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quickthaw.cli import output
from quickthaw_platform import settings as settings_module
from quickthaw_platform.commands import doctor
from quickthaw_platform.commands.config import config
from quickthaw_platform.commands.prices import prices
from quickthaw_platform.doctor.checks import Finding, Level
from quickthaw_platform.settings import Settings
from quickthaw_platform.simulator import report
from tests.packaging.roots import ROOT
from tests.unit.cli.test_commands import SHOWS
from tests.unit.sdk.api_answers import ALIAS, CHECKPOINT, FUNCTION, INSTANCE, KEY, NODE, VERSION, listed
from tests.unit.sdk.fake_gateway import INVOCATION, FakeGateway

Run = Callable[..., Result]

LONG = "a-name-that-somebody-gave-to-it-and-that-is-as-long-as-names-may-be-0123456789"
MODULES = ",".join(f"a_package.of_modules.number_{number}" for number in range(8))
NARROW = 80

TABLES: list[tuple[tuple[str, ...], list[Any], tuple[str, ...]]] = [
    # command line, the gateway's answers, what must stand there whole
    (("ls",), [listed(FUNCTION | {"name": LONG, "model": f"m-{LONG}"})], (LONG, f"m-{LONG}", "VERSIONS", "INSTANCES")),
    (("describe", "chat"), [FUNCTION | {"name": LONG}], (f"/v1/functions/{LONG}/invoke", f"/t/{LONG}")),
    (
        ("versions", "chat"),
        [listed(VERSION | {"id": LONG}), listed(ALIAS | {"name": "canary", "weights": {LONG: 1.0}})],
        (LONG, "canary", "DEPLOYED", "ALIASES"),
    ),
    (("alias", "ls", "chat"), [listed(ALIAS | {"weights": {LONG: 0.5, f"x-{LONG}": 0.5}})], (LONG, f"x-{LONG}")),
    (
        ("ps",),
        [
            listed(NODE | {"id": LONG, "labels": {"zone": LONG}, "bandwidths": {"dram": 2e10, "disk": 3e9}}),
            listed(INSTANCE | {"function": LONG, "node": f"n-{LONG}", "id": f"i-{LONG}"}),
        ],
        (LONG, f"zone={LONG}", f"n-{LONG}", f"i-{LONG}", "CHECKPOINTS", "TEMPLATES", "FUNCTION", "IN USE"),
    ),
    (
        ("models", "ls"),
        [listed(CHECKPOINT | {"name": LONG, "copies": [{"node": f"n-{LONG}", "tiers": ["disk"]}]})],
        (LONG, f"n-{LONG}", "CONTEXT"),
    ),
    (
        ("models", "where", "m"),
        [
            {
                **CHECKPOINT,
                "dtype": "bfloat16",
                "tensors": 2,
                "copies": [{"node": LONG, "tiers": ["disk"], "arriving_bytes": None}],
            }
        ],
        (LONG, "REMOTE"),
    ),
    (("keys", "ls"), [listed(KEY | {"name": LONG, "scopes": ["invoke", "deploy", "admin"]})], (LONG, "TOKENS/MIN")),
    (("secrets", "ls", "chat"), [listed({"name": LONG.upper()})], (LONG.upper(), "SECRET")),
    (("invocations", "show", "inv-1"), [INVOCATION | {"id": LONG, "result": f"r-{LONG}"}], (LONG, f"r-{LONG}")),
]


@pytest.fixture(params=["terminal", "file"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A terminal of 80 columns, or a file."""
    terminal = request.param == "terminal"

    def console() -> Console:
        return Console(file=sys.stdout, force_terminal=terminal, width=NARROW, no_color=True, highlight=False)

    monkeypatch.setattr(output, "_console", console)
    return str(request.param)


def plain(text: str) -> str:
    """Return a terminal's output without its escapes."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize(("command", "answers", "whole"), TABLES)
def test_names_and_headings_of_the_gateways_tables_are_whole(
    run: Run, command: tuple[str, ...], answers: list[Any], whole: tuple[str, ...]
) -> None:
    result = run(FakeGateway([httpx.Response(200, json=answer) for answer in answers]), *command)
    assert result.exit_code == 0, result.output
    shown = plain(result.stdout)
    assert [name for name in whole if name not in shown] == []


@pytest.mark.parametrize(("command", "answers", "asked", "read"), SHOWS)
def test_what_is_shown_at_all_is_shown_in_a_narrow_terminal(
    run: Run, command: tuple[str, ...], answers: list[Any], asked: list[str], read: list[str], screen: str
) -> None:
    assert asked
    result = run(FakeGateway([httpx.Response(200, json=answer) for answer in answers]), *command)
    shown = plain(result.output)
    assert [words for words in read if words not in shown] == [], screen


def rendered(made: Table, *, terminal: bool, width: int = NARROW) -> str:
    """Print a table."""
    screen = io.StringIO()
    output.show(made, Console(file=screen, force_terminal=terminal, width=width, no_color=True))
    return plain(screen.getvalue())


@pytest.fixture
def wide() -> Table:
    """A table that does not fit 80 columns, with a column without a heading and a heading of two lines."""
    made = Table(title="many things")
    made.add_column("")
    for policy in ("startup-time", "serverless-llm", "least-loaded", "locality"):
        made.add_column(f"{policy}\nbreak-even")
    made.add_row("first token, s: p50 / p90 / p99", "1.00 / 2.00 / 3.00", "4.00 / 5.00 / 6.00", "-", Text("[7]"))
    made.add_row("calls", "1,000", "1,001", "1,002", "1\n2")
    return made


def test_a_table_that_does_not_fit_a_terminal_is_a_block_for_each_row(wide: Table) -> None:
    assert rendered(wide, terminal=True).splitlines() == [
        "many things",
        "first token, s: p50 / p90 / p99",
        "startup-time break-even    1.00 / 2.00 / 3.00",
        "serverless-llm break-even  4.00 / 5.00 / 6.00",
        "least-loaded break-even    -",
        "locality break-even        [7]",
        "",
        "calls",
        "startup-time break-even    1,000",
        "serverless-llm break-even  1,001",
        "least-loaded break-even    1,002",
        "locality break-even        1",
        "                           2",
    ]


def test_a_table_goes_into_a_file_as_wide_as_it_is(wide: Table) -> None:
    shown = rendered(wide, terminal=False)
    assert "serverless-llm" in shown.splitlines()[2]
    assert all(words in shown for words in ("first token, s: p50 / p90 / p99", "4.00 / 5.00 / 6.00"))


def test_a_table_that_fits_stays_one(wide: Table) -> None:
    assert len({len(line) for line in rendered(wide, terminal=True, width=200).splitlines()[1:]}) == 1


@pytest.fixture
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of this test's own, with long values."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUICKTHAW_PRELOAD", MODULES)
    monkeypatch.setenv("QUICKTHAW_DATA_DIR", str(tmp_path / LONG))
    settings_module.load.cache_clear()
    yield
    settings_module.load.cache_clear()


@pytest.mark.usefixtures("screen", "own_settings")
def test_settings_are_whole(tmp_path: Path) -> None:
    shown = plain(CliRunner().invoke(config, catch_exceptions=False).stdout)
    assert str(tmp_path / LONG) in shown
    assert MODULES in shown
    assert all(name in shown for name in Settings.model_fields)


@pytest.mark.usefixtures("screen", "own_settings")
def test_prices_are_whole() -> None:
    rows = CliRunner().invoke(prices, ["ls", "--json"], catch_exceptions=False).stdout
    ids = re.findall(r'"id": "([^"]+)"', rows)
    shown = plain(CliRunner().invoke(prices, ["ls"], catch_exceptions=False).stdout)
    assert ids
    assert [id for id in ids if id not in shown] == []
    one = plain(CliRunner().invoke(prices, ["show", ids[0]], catch_exceptions=False).stdout)
    urls = re.findall(r'"source": "([^"]+)"', CliRunner().invoke(prices, ["show", ids[0], "--json"]).stdout)
    assert urls
    assert [url for url in urls if url not in one] == []


@pytest.mark.parametrize("terminal", [True, False])
def test_findings_of_the_doctor_are_whole(terminal: bool) -> None:
    found = [Finding(LONG, Level.PROBLEM, f"[f]-{LONG}", f"do {LONG}-x"), Finding("b", Level.OK, "fine")]
    shown = rendered(doctor.table(found), terminal=terminal)
    assert all(words in shown for words in (LONG, f"[f]-{LONG}", f"do {LONG}-x", "problem", "fine", "found"))


def simulated(policy: str) -> dict[str, Any]:
    """What a simulation found, as its report reads it."""
    spread = {"p50": 1.0, "p90": 2.0, "p99": 3.0, "mean": 1.5}
    return {
        "policy": policy, "keep_alive": "break-even", "calls": 1_000_000, "ended": {"failed": 12, "timed_out": 3},
        "slo_attainment": 0.99, "cold_share": 0.1, "starts": {"template": 1, "dram": 2, "disk": 3, "remote": 4},
        "migrations": {"done": 5}, "instance_seconds": {"starting": 1.0, "idle": 2.0, "serving": 3.0},
        "simulated_seconds": 3600.0, "wall_seconds": 1.0,
        **dict.fromkeys(("ttft_seconds", "startup_seconds", "start_seconds", "start_error"), spread),
    }  # fmt: skip


@pytest.mark.parametrize("terminal", [True, False])
def test_simulations_are_whole(terminal: bool) -> None:
    policies = ("startup-time", "serverless-llm", "locality", "least-loaded", "random")
    shown = rendered(report.table([simulated(policy) for policy in policies]), terminal=terminal)
    assert all(policy in shown for policy in policies)
    assert "instance-hours: starting / idle / serving" in shown
    assert "12 failed, 3 timed_out" in shown


def test_whoever_makes_a_table_shows_it_whole() -> None:
    """A new module with a table belongs into this file's tests; none prints one by itself."""
    areas = (ROOT / "sdk" / "quickthaw" / "cli", ROOT / "platform" / "quickthaw_platform")
    with_tables = {
        file.name for area in areas for file in area.rglob("*.py") if "from rich.table import Table" in file.read_text()
    }
    known = {"config.py", "doctor.py", "output.py", "prices.py", "report.py"}
    assert with_tables == known | {"optimise.py", "validate.py", "telling.py"}
    for area in areas:
        for file in area.rglob("*.py"):
            assert not re.search(r"Console\(\)\.print\(|\.print\(table\)|PIPE_WIDTH", file.read_text()), file
