from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.billing import bill, monthly
from quickthaw_platform.prices.catalogue import load
from quickthaw_platform.prices.consumption import Consumption, InstanceSpan, write_consumption
from quickthaw_platform.prices.figure import Statement
from quickthaw_platform.prices.platform_facts import platform_file
from quickthaw_platform.prices.platform_tables import priced_table
from quickthaw_platform.prices.platforms import main, parts, with_parts
from quickthaw_platform.prices.tokens import buy_tokens

DOCUMENT = Path(__file__).parents[3] / "docs" / "platforms.md"
USE = Consumption(
    300, [2.0] * 40, (InstanceSpan(120, 1, 80, 39),), vcpus=2, memory_gib=1.5, tokens_in=4000, tokens_out=2000
)


def test_the_document_has_the_tables_that_the_files_give() -> None:
    document = DOCUMENT.read_text()
    assert with_parts(document, parts(load())) == document, "run: python -m quickthaw_platform.prices.platforms"


def test_every_number_in_the_tables_leads_to_a_source_and_every_source_is_used() -> None:
    found = parts(load())
    used = {int(number) for number in re.findall(r"\[(\d+)\]", found["limits"] + found["billing"])}
    listed = [int(line.partition(".")[0]) for line in found["sources"].splitlines()]
    assert listed == sorted(used) == list(range(1, len(listed) + 1))


def test_the_platforms_of_the_comparison_are_all_there() -> None:
    names = " ".join(platform.name for platform in platform_file().platforms)
    for name in ("AWS Lambda", "Azure Functions", "Cloud Run", "Cloud Run functions", "Yandex", "Modal", "RunPod"):
        assert name in names
    assert names.startswith("quickthaw, serverless quickthaw, serverful")


def test_what_was_not_verified_is_shown_as_such() -> None:
    facts = platform_file()
    table = parts(load())["limits"]
    for platform in facts.platforms:
        for name in type(platform).model_fields:
            fact = getattr(platform, name)
            if isinstance(fact, Statement) and fact.value is not None:
                assert fact.value.replace("|", "\\|") in table
    unknown = sum(
        isinstance(fact, Statement) and fact.value is None
        for platform in facts.platforms
        for fact in (getattr(platform, name) for name in type(platform).model_fields)
    )
    assert table.count("not verified [") == unknown > 0


def priced() -> dict[str, list[str]]:
    tokens = buy_tokens("llama-3.1-8b", USE.tokens_in, USE.tokens_out)
    table = priced_table(platform_file(), load(), tokens, USE, "made up")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[1:]}


def test_a_measured_use_is_priced_as_its_bill_says() -> None:
    rows, offer = priced(), load().get("modal-t4")
    found = bill(offer, USE)
    month = monthly(found, 300)
    assert found.usd is not None
    assert month.usd is not None
    wanted = [found.usd, found.usd / 40 * 1000, found.usd / 2000 * 1e6, month.usd]
    shown = [float(cell.replace(",", "")) for cell in rows["Modal, T4"]]
    assert shown == pytest.approx(wanted, rel=0.01)


def test_an_offer_that_cannot_serve_the_use_says_why() -> None:
    rows = priced()
    assert rows["Cloud Run, RTX PRO 6000"][-1].startswith("no bill: Cloud Run, RTX PRO 6000")
    assert any(name.startswith("tokens: groq/") for name in rows)


def test_a_period_without_requests_has_no_price_of_a_request() -> None:
    idle = Consumption(300, instances=(InstanceSpan(300, idle=300),))
    table = priced_table(platform_file(), load(), [], idle, "idle")
    row = next(line for line in table.splitlines() if line.startswith("| Modal, T4"))
    assert row.split(" | ")[2:4] == ["-", "-"]


def test_the_command_writes_the_table_of_a_measured_use_and_leaves_it_when_given_none(tmp_path: Path) -> None:
    document, use = tmp_path / "platforms.md", tmp_path / "use.json"
    document.write_text(DOCUMENT.read_text())
    write_consumption(USE, use, "a made-up run")
    options = ["--document", str(document)]
    ran = CliRunner().invoke(main, [*options, "--consumption", str(use)], catch_exceptions=False)
    assert ran.exit_code == 0
    filled = document.read_text()
    assert "**a made-up run**: 300 s, 40 requests" in filled
    assert CliRunner().invoke(main, options, catch_exceptions=False).exit_code == 0
    assert document.read_text() == filled


def test_check_fails_where_the_document_is_out_of_date(tmp_path: Path) -> None:
    document = tmp_path / "platforms.md"
    document.write_text(DOCUMENT.read_text())
    options = ["--document", str(document), "--check"]
    assert CliRunner().invoke(main, options).exit_code == 0
    document.write_text(document.read_text().replace("15 minutes, a stream included", "15 hours"))
    assert CliRunner().invoke(main, options).exit_code == 1


def test_a_document_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="lacks <!-- begin limits -->"):
        with_parts("nothing", {"limits": "x"})
