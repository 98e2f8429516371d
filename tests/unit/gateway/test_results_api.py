"""Results of validations over HTTP: kept with a checkpoint, and demanded of a deploy and of a promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from quickthaw.resources import Scope
from tests.unit.gateway.conftest import ECHO

RESULTS = "/v1/checkpoints/tiny/results"
BAR = "perplexity[hf,wikitext-2]<=20"


def result(value: float, **fields: Any) -> dict[str, Any]:
    return {
        "checkpoint": "c1", "protocol": "hf", "text": "wikitext-2", "text_sha256": "0" * 64, "whole": True,
        "engine": "echo", "metrics": {"perplexity": {"value": value, "low": value - 1, "high": value + 1}}, **fields,
    }  # fmt: skip


def kept(client: FlaskClient) -> list[dict[str, Any]]:
    body = client.get(RESULTS).json
    assert body is not None
    data: list[dict[str, Any]] = body["data"]
    return data


def test_a_result_is_kept_and_a_later_one_takes_its_place(client: FlaskClient) -> None:
    first = client.post(RESULTS, json=result(20.0))
    assert first.status_code == 201
    assert first.json == kept(client)[0]
    assert kept(client)[0]["measured_at"] > 0
    client.post(RESULTS, json=result(19.0, measured_at=5.0))
    client.post(RESULTS, json=result(30.0, protocol="gptq"))
    assert [(r["protocol"], r["metrics"]["perplexity"]["value"]) for r in kept(client)] == [
        ("gptq", 30.0), ("hf", 19.0),
    ]  # fmt: skip


def test_a_result_about_other_weights_is_refused(client: FlaskClient) -> None:
    refused = client.post(RESULTS, json=result(20.0, checkpoint="c2"))
    assert refused.status_code == 400
    assert "validate it again" in refused.json["error"]["message"]  # type: ignore[index]
    assert kept(client) == []


@pytest.mark.parametrize(
    "wrong",
    [{"metrics": {}}, {"protocol": "a b"}, {"text": "x]"}, {"text_sha256": "abc"}, {"unknown": 1},
     {"metrics": {"perplexity": {"value": 1, "low": 2, "high": 3}}}],
    ids=["no figures", "blank in protocol", "bracket in text", "no digest", "unknown field", "outside interval"],
)  # fmt: skip
def test_what_is_no_result_is_refused(client: FlaskClient, wrong: dict[str, Any]) -> None:
    assert client.post(RESULTS, json=result(20.0) | wrong).status_code == 400


def test_reading_and_writing_need_the_scope_to_deploy(client_of: Callable[..., FlaskClient]) -> None:
    caller, deployer = client_of(Scope.INVOKE), client_of(Scope.DEPLOY)
    assert caller.get(RESULTS).status_code == caller.post(RESULTS, json=result(1.0)).status_code == 403
    assert deployer.post(RESULTS, json=result(2.0)).status_code == 201
    assert deployer.get(RESULTS).status_code == 200
    assert deployer.get("/v1/checkpoints/none/results").status_code == 404


def test_results_go_with_their_checkpoint(client: FlaskClient) -> None:
    about = "/v1/checkpoints/tiny-embed"
    assert client.post(f"{about}/results", json=result(1.0, checkpoint="e1")).status_code == 201
    assert client.delete(about).status_code == 200
    assert client.application.extensions["quickthaw"].results.of_id("e1") == []


def test_a_deploy_behind_a_bar_waits_for_a_result_that_clears_it(client: FlaskClient) -> None:
    spec = {**ECHO, "name": "barred"}

    def deploy() -> Any:
        return client.post("/v1/functions", json=spec, query_string={"require": [BAR, "perplexity>=1"]})

    refused = deploy()
    assert (refused.status_code, refused.json["error"]["code"]) == (409, "bar_missed")
    assert "`quickthaw validate tiny --protocol hf --text FILE`" in refused.json["error"]["message"]
    client.post(RESULTS, json=result(21.0))
    assert "perplexity 21 by hf on wikitext-2" in deploy().json["error"]["message"]
    assert client.get("/v1/functions/barred").status_code == 404
    client.post(RESULTS, json=result(20.0))
    assert deploy().status_code == 200


def test_a_bar_that_cannot_be_read_is_refused(client: FlaskClient) -> None:
    refused = client.post("/v1/functions", json=ECHO, query_string={"require": "perplexity<20"})
    assert (refused.status_code, refused.json["error"]["param"]) == (400, "require")  # type: ignore[index]


def test_a_canary_is_promoted_only_where_its_checkpoint_clears_the_bar(client: FlaskClient) -> None:
    second = client.post("/v1/functions", json={**ECHO, "concurrency": 2}).json["id"]  # type: ignore[index]
    client.put("/v1/functions/chat/aliases/live", json={"weights": {"1": 0.9, "2": 0.1}})

    def promote() -> Any:
        return client.put("/v1/functions/chat/aliases/live", json={"weights": {"2": 1}, "require": [BAR]})

    assert promote().json["error"]["code"] == "bar_missed"
    weights = client.get("/v1/functions/chat").json["aliases"]["live"]  # type: ignore[index]
    assert weights[second] == pytest.approx(0.1)
    client.post(RESULTS, json=result(18.0))
    assert promote().json["weights"] == {second: 1.0}
