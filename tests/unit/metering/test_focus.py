"""Usage as a FOCUS file: priced day by day, and accepted by the validator that PyPI has."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quickthaw.cli.usage import print_csv
from quickthaw.errors import InvalidRequest
from quickthaw.resources import FocusRow
from quickthaw_platform.errors import NotFound
from quickthaw_platform.metering.usage.focus import DAY_SECONDS, Tariff, UnitPrices, focus_rows
from quickthaw_platform.metering.usage.records import Subject, UsageRecord
from quickthaw_platform.metering.usage.tariffs import offered, own_machine

DAY = 20_420 * DAY_SECONDS  # 2025-11-28
SUBJECT = Subject("chat", "v1", "serverless", "n1", "cpu", 1 << 30)
SECONDS = {("decode", "k1"): 10.0, ("prefill", "k1"): 2.0, ("idle", ""): 3.0, ("starting/fork", ""): 0.5}
VALIDATOR = Path(sys.prefix) / "focus"


def record(start: float, subject: Subject = SUBJECT, **given: Any) -> UsageRecord:
    return UsageRecord(subject, start, **{"seconds": SECONDS, "requests": {"k1": 4}, **given})


def rows_of(*records: UsageRecord, tariff: Tariff | None = None, since: float | None = None) -> list[FocusRow]:
    return focus_rows(records, since, DAY + 10 * DAY_SECONDS, tariff or own_machine(3.6), {"k1": "alice"})


def test_each_phase_of_each_day_has_a_row_with_its_price() -> None:
    rows = rows_of(record(DAY + 60), record(DAY + 7200), record(DAY + DAY_SECONDS))
    assert [(r["ChargePeriodStart"], r["SkuMeter"], r["SubAccountId"], r["PricingQuantity"]) for r in rows] == [
        ("2025-11-28T00:00:00Z", "idle", None, 6.0),
        ("2025-11-28T00:00:00Z", "starting", None, 1.0),
        ("2025-11-28T00:00:00Z", "decode", "k1", 20.0),
        ("2025-11-28T00:00:00Z", "prefill", "k1", 4.0),
        ("2025-11-29T00:00:00Z", "idle", None, 3.0),
        ("2025-11-29T00:00:00Z", "starting", None, 0.5),
        ("2025-11-29T00:00:00Z", "decode", "k1", 10.0),
        ("2025-11-29T00:00:00Z", "prefill", "k1", 2.0),
    ]
    decode = rows[2]
    assert decode["BilledCost"] == decode["EffectiveCost"] == decode["ListCost"] == pytest.approx(0.02)
    assert (decode["SubAccountName"], decode["SubAccountType"]) == ("alice", "API key")
    assert (decode["BillingPeriodStart"], decode["BillingPeriodEnd"]) == (
        "2025-11-01T00:00:00Z",
        "2025-12-01T00:00:00Z",
    )
    assert json.loads(str(decode["Tags"]))["node"] == "n1"


def test_a_charge_period_begins_no_earlier_than_was_asked() -> None:
    (row, *_) = rows_of(record(DAY + 7200), since=DAY + 3600)
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2025-11-28T01:00:00Z", "2025-11-29T00:00:00Z")


def test_requests_have_rows_where_they_have_a_price() -> None:
    prices = UnitPrices(starting=0.0, busy=1.0, idle=0.0, draining=0.0, request=0.25)
    rows = rows_of(record(DAY), tariff=Tariff("offer", "cloud", "eu", lambda _subject: prices))
    (row,) = [r for r in rows if r["SkuMeter"] == "requests"]
    assert (row["PricingQuantity"], row["PricingUnit"], row["BilledCost"]) == (4.0, "Requests", 1.0)
    assert (row["HostProviderName"], row["RegionId"], row["SkuPriceId"]) == ("cloud", "eu", "offer/requests")


def test_an_offer_is_priced_by_the_second_of_an_instance(tmp_path: Path) -> None:
    tariff = offered("runpod-l4", 1.0, tmp_path)
    found = tariff.prices(SUBJECT._replace(device="cuda:0"))
    assert found.busy > 0


def test_an_offer_that_bills_the_seconds_of_requests_is_refused_and_an_unknown_one_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="bills the seconds of each request"):
        offered("aws-lambda-x86", 1.0, tmp_path).prices(SUBJECT)
    with pytest.raises(NotFound, match="no-such-offer"):
        offered("no-such-offer", 1.0, tmp_path)


@pytest.mark.skipif(not VALIDATOR.is_dir(), reason="focus-validator is not installed; `make test` does it")
@pytest.mark.parametrize("hourly_usd", [0.0, 2.0])
def test_the_validator_of_pypi_accepts_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hourly_usd: float
) -> None:
    rows = rows_of(record(DAY), record(DAY + 5 * DAY_SECONDS), tariff=own_machine(hourly_usd))
    print_csv(rows)
    file = tmp_path / "focus.csv"
    file.write_text(capsys.readouterr().out)
    assert "Validation succeeded." in _validated(file)
    broken = tmp_path / "broken.csv"
    broken.write_text(file.read_text().replace("USD", "no currency"))
    assert "Validation failed!" in _validated(broken)


def _validated(file: Path) -> str:
    command = [sys.executable, "-m", "focus_validator.main", "--data-file", str(file), "--validate-version", "1.0"]
    # It looks for its list of currencies from where it stands.
    done = subprocess.run(
        command, cwd=VALIDATOR, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_file_has_every_column_once_and_numbers_with_a_point(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(rows_of(record(DAY)))
    header, first, *_ = csv.reader(capsys.readouterr().out.splitlines())
    assert len(header) == len(set(header))
    assert {"ServiceProviderName", "HostProviderName", "AllocatedMethodId", "ContractApplied"} <= set(header)
    assert "." in dict(zip(header, first, strict=True))["BilledCost"]
