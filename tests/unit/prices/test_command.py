from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from quickthaw_platform import settings
from quickthaw_platform.commands.prices import prices
from quickthaw_platform.prices.consumption import Consumption, InstanceSpan, write_consumption
from quickthaw_platform.prices.reading import DATA

BROKEN = 'provider = "Us"\n[[offers]]\nid = "one"\nkind = "server"\n'


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("QUICKTHAW_PRICES_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    settings.load.cache_clear()
    yield tmp_path
    settings.load.cache_clear()


def run(*words: str) -> Result:
    return CliRunner().invoke(prices, words, catch_exceptions=False)


def test_ls_shows_prices_dates_and_marks(own: Path) -> None:
    rows = {row["id"]: row for row in json.loads(run("ls", "--json").stdout)}
    assert rows["modal-l4"]["prices"]["prices.gpu"] == "0.000222 USD/GPU-s"
    assert rows["modal-l4"]["date"] == "2026-05-08"
    assert rows["ec2-g6-xlarge-spot"]["prices"] == {"price": "not known (USD/h)"}
    assert not rows["ec2-g6-xlarge-spot"]["billable"]
    assert rows["yandex-serverless-containers"]["stale"]


def test_ls_can_be_narrowed_and_have_tokens_beside(own: Path) -> None:
    shown = run("ls", "--kind", "own-machine", "--like", "llama-3.1-8b").stdout
    assert "own-machine" in shown
    assert "groq/llama-3.1-8b-instant" in shown
    assert "in 0.05 USD/million tokens" in shown
    assert "modal-l4" not in shown


def test_ls_has_the_users_offers(own: Path) -> None:
    text = (DATA / "nebius.toml").read_text().replace('"Nebius H100"', '"Our H100"')
    (own / "ours.toml").write_text(text)
    rows = [row["id"] for row in json.loads(run("ls", "--json").stdout)]
    assert rows.count("nebius-h100") == 1
    assert json.loads(run("show", "nebius-h100", "--json").stdout)["name"] == "Our H100"


def test_show_has_every_source_and_a_bill(own: Path) -> None:
    found = json.loads(run("show", "cloud-run-l4", "--json").stdout)
    facts = {fact["fact"]: fact for fact in found["facts"]}
    assert facts["minimum_vcpus"]["value"] == "4 vCPU"
    assert all(fact["source"] and fact["mark"] for fact in facts.values())
    period, month = found["bills"].values()
    assert period["usd"] == pytest.approx(sum(line["amount"] for line in period["lines"]))
    assert month["usd"] == pytest.approx(730 * period["usd"])
    assert found["billed"].startswith("an example: ")


def test_show_prints_the_rows_of_the_bill(own: Path) -> None:
    shown = run("show", "hetzner-gex45").stdout
    assert "214 EUR/month" in shown
    assert "month: 214.0000 EUR" in shown
    assert "a set-up of 209 EUR a machine, once, is not in it" in shown


def test_show_bills_a_measured_use_and_names_multipliers(own: Path, tmp_path: Path) -> None:
    file = tmp_path / "use.json"
    write_consumption(Consumption(100, instances=[InstanceSpan(10.0)]), file, "measured by hand")
    found = [
        json.loads(run("show", "modal-t4", "--consumption", str(file), "--json", *more).stdout)
        for more in ([], ["--multiplier", "non-preemptible"])
    ]
    assert found[0]["billed"] == "measured by hand"
    assert found[1]["bills"]["100 s"]["usd"] == pytest.approx(3 * found[0]["bills"]["100 s"]["usd"])


def test_show_says_where_there_can_be_no_bill(own: Path) -> None:
    assert "no bill: a price is not known" in run("show", "azure-container-apps-t4").stdout


def test_check_names_file_and_line_and_fails(own: Path) -> None:
    (own / "broken.toml").write_text(BROKEN)
    ran = run("check")
    assert ran.exit_code == 1
    assert f"{own}/broken.toml:2: offer one: it lacks `name`" in ran.stdout
    assert f"{own}/broken.toml:2: offer one: it lacks `machine`" in ran.stdout
    as_json = run("check", str(own / "broken.toml"), "--json")
    assert as_json.exit_code == 1
    assert {problem["line"] for problem in json.loads(as_json.stdout)["problems"]} == {2}


def test_check_is_content_with_the_built_in_files(own: Path) -> None:
    ran = run("check", str(DATA))
    assert ran.exit_code == 0
    assert "all well" in ran.stdout


def test_check_says_where_there_is_nothing_to_check(own: Path) -> None:
    ran = run("check")
    assert ran.exit_code == 0
    assert f"there is no *.toml in {own}" in ran.stdout


def test_check_names_a_file_that_is_not_there(own: Path) -> None:
    ran = run("check", str(own / "absent.toml"))
    assert ran.exit_code == 1
    assert "absent.toml:1: cannot be read" in ran.stdout
