"""What was used, as the API tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform.metering.usage.device_meter import Tokens
from quickthaw_platform.metering.usage.records import Subject, UsageRecord
from quickthaw_platform.metering.usage.store import UsageStore

AGO_SECONDS = 7200


@pytest.fixture
def used(redis: Redis) -> UsageRecord:
    """Something that was used two hours ago, and is in Redis."""
    start = (int(redis.time()[0]) - AGO_SECONDS) // 60 * 60
    subject = Subject("chat", "v1", "serverless", "n1", "cpu", 1 << 30)
    record = UsageRecord(
        subject, start, {("decode", "k1"): 10.0, ("idle", ""): 3.0}, {"k1": Tokens(4, 5)}, {"k1": 1}, {"disk": 9}
    )
    UsageStore(redis, 86_400.0).write({("i1", int(start // 60)): record})
    return record


def rows(client: FlaskClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/v1/usage", query_string=query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.get_json()["data"]
    return data


def test_by_default_rows_are_told_apart_by_function_and_phase(client: FlaskClient, used: UsageRecord) -> None:
    found = rows(client)
    assert [(r["function"], r["phase"], r["seconds"], r["requests"], r["node"]) for r in found] == [
        ("chat", "", 0.0, 1, None),
        ("chat", "decode", 10.0, 0, None),
        ("chat", "idle", 3.0, 0, None),
    ]
    assert found[0]["fetched_bytes"] == {"disk": 9}


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ({"since": "3h"}, 13.0),
        ({"since": "1h"}, 0.0),
        ({"until": "3h"}, 0.0),
        ({"since": "2001-01-01", "until": "2001-01-02T00:00:00+02:00"}, 0.0),
        ({"since": 0, "until": 4_000_000_000}, 13.0),
        ({"function": "other"}, 0.0),
    ],
)
def test_a_span_leaves_out_what_lies_beside_it(
    client: FlaskClient, used: UsageRecord, query: dict[str, Any], seconds: float
) -> None:
    assert sum(row["seconds"] for row in rows(client, **query)) == seconds


@pytest.mark.parametrize(
    ("query", "param", "says"),
    [
        ({"by": "function,colour"}, "by", "'colour'; known: function, version, backend"),
        ({"since": "yesterday"}, "since", "'yesterday' is no moment"),
        ({"until": "inf"}, "until", "'inf' is no moment"),
        ({"since": "1h", "until": "2h"}, "since", "let it be earlier"),
    ],
)
def test_what_cannot_be_is_refused_by_name(client: FlaskClient, query: dict[str, str], param: str, says: str) -> None:
    answer = client.get("/v1/usage", query_string=query)
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert (error["param"], says in error["message"]) == (param, True)


def test_a_key_that_only_calls_sees_no_usage(client_of: Callable[..., FlaskClient]) -> None:
    for path in ("/v1/usage", "/v1/usage/focus"):
        assert client_of(Scope.INVOKE).get(path).status_code == 403
    assert client_of(Scope.DEPLOY).get("/v1/usage").status_code == 200


def test_a_focus_file_has_the_price_that_was_named(client: FlaskClient, used: UsageRecord) -> None:
    answer = client.get("/v1/usage/focus", query_string={"hourly_usd": 3600, "function": "chat"})
    assert answer.status_code == 200, answer.text
    found = {row["SkuMeter"]: row for row in answer.get_json()["data"]}
    assert {meter: row["BilledCost"] for meter, row in found.items()} == {"decode": 10.0, "idle": 3.0}
    assert found["decode"]["SubAccountId"] == "k1"


@pytest.mark.parametrize("query", [{}, {"hourly_usd": 1, "price": "x"}])
def test_a_focus_file_needs_exactly_one_price(client: FlaskClient, query: dict[str, Any]) -> None:
    answer = client.get("/v1/usage/focus", query_string=query)
    assert answer.status_code == 400
    assert "what a second costs" in answer.get_json()["error"]["message"]


def test_an_unknown_offer_is_not_found(client: FlaskClient, used: UsageRecord) -> None:
    answer = client.get("/v1/usage/focus", query_string={"price": "no-such-offer"})
    assert answer.status_code == 404
