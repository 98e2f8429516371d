"""`quickthaw usage`: a table, JSON, CSV, and a FOCUS file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import Result

from quickthaw.cli.usage import NOTHING
from tests.unit.sdk.fake_gateway import FakeGateway
from tests.unit.sdk.test_usage_calls import ROWS

Run = Callable[..., Result]


def gateway(rows: list[dict[str, Any]]) -> FakeGateway:
    return FakeGateway([httpx.Response(200, json={"object": "list", "data": rows})])


def test_the_table_has_a_row_for_each_and_the_total(run: Run) -> None:
    asked = gateway(ROWS)
    result = run(asked, "usage")
    assert result.exit_code == 0, result.output
    header, *lines = [line.split() for line in result.output.splitlines()]
    assert header[:2] == ["FUNCTION", "PHASE"]
    assert lines[0][:4] == ["chat", "-", "-", "-"]
    assert lines[1][:4] == ["chat", "decode", "1,234.500", "2.000"]
    assert lines[-1][:4] == ["total", "-", "1,234.500", "2.000"]
    assert lines[-1][4:9] == ["3", "-", "40", "50", "6"]
    assert " ".join(lines[-1][9:]) == "disk 1.0 KiB"
    assert asked.lines == ["GET /v1/usage?since=24h&by=function%2Cphase"]


def test_the_table_has_the_original_and_the_sent_tokens_of_compressed_prompts(run: Run) -> None:
    rows = [{**row, "tokens_saved": 25} for row in ROWS]
    header, *lines = run(gateway(rows), "usage").output.splitlines()
    assert header.index("ORIGINAL") < header.index("TOKENS IN")
    assert lines[-1].split()[5:7] == ["90", "40"]


def test_names_may_be_repeated_or_stand_with_commas_between(run: Run) -> None:
    asked = gateway([])
    result = run(
        asked, "usage", "--by", "key,node", "--by", "phase", "--since", "7d", "--until", "1h", "--function", "f"
    )
    assert result.exit_code == 0, result.output
    assert NOTHING in result.output
    assert asked.lines == ["GET /v1/usage?since=7d&until=1h&function=f&by=key%2Cnode%2Cphase"]


def test_json_has_the_rows_as_they_are(run: Run) -> None:
    assert json.loads(run(gateway(ROWS), "usage", "--json").output)[1]["seconds"] == 1234.5


def test_csv_has_the_asked_columns_and_all_counts(run: Run) -> None:
    rows = list(csv.DictReader(run(gateway(ROWS), "usage", "--csv").output.splitlines()))
    assert list(rows[0]) == [
        "function", "phase", "seconds", "memory_byte_seconds", "requests", "tokens_in", "tokens_out", "tokens_cached",
        "tokens_saved", "fetched_bytes_disk", "fetched_bytes_remote",
    ]  # fmt: skip
    assert (rows[0]["fetched_bytes_disk"], rows[1]["seconds"]) == ("1024", "1234.5")


def test_a_focus_file_is_what_the_gateway_answers(run: Run) -> None:
    asked = gateway([{"BilledCost": 1.0, "ChargeClass": None, "SkuId": "x"}])
    result = run(asked, "usage", "--focus", "--price", "x", "--vcpus", "2")
    assert result.output == "BilledCost,ChargeClass,SkuId\n1.0,,x\n"
    assert asked.lines == ["GET /v1/usage/focus?since=24h&price=x&vcpus=2.0"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--json", "--csv"), "only one"),
        (("--focus",), "--price OFFER or --hourly-usd"),
        (("--focus", "--price", "x", "--hourly-usd", "1"), "--price OFFER or --hourly-usd"),
        (("--focus", "--hourly-usd", "1", "--by", "key"), "--by does not go"),
        (("--hourly-usd", "1"), "go with --focus"),
        (("--focus", "--hourly-usd", "1", "--vcpus", "2"), "--vcpus goes with --price"),
    ],
)
def test_what_does_not_go_together_is_refused(run: Run, words: tuple[str, ...], says: str) -> None:
    result = run(FakeGateway([]), "usage", *words)
    assert result.exit_code == 2
    assert says in result.output
