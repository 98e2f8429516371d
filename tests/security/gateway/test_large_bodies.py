"""A body of a mebibyte costs a gateway little, whatever is in it: meanwhile that serves nobody else."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from quickthaw_platform.settings import Settings
from tests.unit.gateway.conftest import error_of
from tests.valkey_process import ValkeyProcess

BODY_BYTES = 1 << 20
MOST_TIMES_PARSING = 25.0
"""What a gateway computes for a body, as a multiple of what it takes to parse it: before, hundreds."""

TRIES = 5

TURN = {"role": "user", "content": "x"}


@pytest.fixture(scope="module")
def settings(valkey: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(redis_url=valkey.url, data_dir=tmp_path_factory.mktemp("large"), max_body=BODY_BYTES)


def many(value: Any) -> list[Any]:
    """Return a list of as many of a value as a body has room for."""
    return [value] * ((BODY_BYTES - 500) // (len(json.dumps(value)) + 2))


def names(value: Any) -> dict[str, Any]:
    """Return an object with as many fields of a value as a body has room for."""
    return {f"k{index}": value for index in range((BODY_BYTES - 500) // (len(json.dumps(value)) + 14))}


CASES: list[Any] = [
    ("chat/completions", {"messages": many({})}, 400),
    ("chat/completions", {"messages": many([])}, 400),
    ("chat/completions", {"messages": [{"role": "user", "content": many({})}]}, 400),
    ("chat/completions", {"messages": [{"role": "user", "content": many(1)}]}, 400),
    ("chat/completions", {"messages": many({"role": "function", "name": "f", "content": "x"})}, 200),  # looks back
    ("chat/completions", {"messages": many(TURN)}, 200),
    ("chat/completions", {"messages": [TURN], "guided_choice": many(1)}, 400),
    ("chat/completions", {"messages": [TURN], "logit_bias": many([])}, 400),
    ("chat/completions", {"messages": [TURN], "logit_bias": names("x")}, 400),
    ("completions", {"prompt": many({})}, 400),
    ("completions", {"prompt": many([1])}, 400),
    ("embeddings", {"input": many({})}, 400),
    ("responses", {"input": many(1)}, 400),
    ("messages", {"max_tokens": 1, "messages": many({})}, 400),
    ("messages", {"max_tokens": 1, "messages": [TURN], "system": many({})}, 400),
    ("messages", {"max_tokens": 1, "messages": [{**TURN, **names(1)}]}, 400),
    ("functions/chat/invoke", {"input": {"messages": many({})}}, 400),
    ("functions/chat/invoke", {"input": {"input": [many(1)]}}, None),  # all of it fits: each element was looked at
    ("functions/chat/invoke", {"input": {"prompt": [*many(1), -1]}}, 400),
    ("functions", names(1), 400),
    ("keys", names(1), 400),
]


@pytest.mark.parametrize(
    ("path", "fields", "status"), CASES, ids=[f"{path}-{index}" for index, (path, *_) in enumerate(CASES)]
)
def test_what_a_body_costs_is_bounded(client: FlaskClient, path: str, fields: dict[str, Any], status: int) -> None:
    native = path.startswith(("functions", "keys"))
    body = json.dumps(fields if native else {"model": "chat", **fields}).encode()
    assert len(body) <= BODY_BYTES
    answers: list[TestResponse] = []

    def times_parsing() -> float:
        parsing = computed(lambda: json.loads(body))
        return computed(lambda: answers.append(client.post(f"/v1/{path}", data=body))) / parsing

    # Now and then a collection of garbage falls into one of the two: what an answer takes, it takes each time.
    assert any(times_parsing() < MOST_TIMES_PARSING for _ in range(TRIES))
    assert status is None or answers[0].status_code == status, answers[0].get_data()[:300]


def computed(work: Any) -> float:
    """Return the seconds of processor time that something takes this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def test_more_faults_than_can_be_told_are_counted(client: FlaskClient) -> None:
    answer = client.post("/v1/keys", json={"name": "x", **dict.fromkeys(map(str, range(2000)), 1)})
    assert answer.status_code == 400
    assert error_of(answer)["message"] == "2,000 values do not fit: too many to name"


@pytest.mark.parametrize("path", ["chat/completions", "functions/chat/invoke", "functions", "responses", "messages"])
def test_what_nests_deeper_than_can_be_written_on_is_refused(client: FlaskClient, path: str) -> None:
    """A schema of 400 objects within each other was a fault of the gateway's own."""
    schema: dict[str, Any] = {}
    for _ in range(150):
        schema = {"type": "object", "properties": {"a": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body = {"model": "chat", "name": "x", "input": "x", "messages": [TURN], "tools": [tool], "max_tokens": 1}
    answer = client.post(f"/v1/{path}", json=body)
    assert (answer.status_code, "nested too deeply" in answer.get_data(as_text=True)) == (400, True)
