"""No answer, and nothing that is stored, holds a gateway's loop, however large: meanwhile that serves nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from redis import Redis
from werkzeug.test import TestResponse

from quickthaw.generation import Delta, TokenLogprob
from quickthaw_platform.gateway.metrics import MULTIPROCESS_VARIABLE
from quickthaw_platform.gateway.requests import MOST_PARTS_OF_FIELD
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings
from tests.security.gateway.stretches import LONGEST_SECONDS, Stretches
from tests.unit.gateway.conftest import error_of
from tests.unit.gateway.node import FakeNode, Output, Script
from tests.valkey_process import ValkeyProcess

TURN = {"role": "user", "content": "x"}
MESSAGES = [TURN] * (MOST_PARTS_OF_FIELD - 100)
LARGE_TEXT = "x" * 900_000
TOP = tuple((f"word{index}", -float(index)) for index in range(20))

LARGEST: dict[str, Any] = {
    "numbers": [0.123456789012345] * 200_000,
    "digits": [1] * 700_000,
    "texts": ["a"] * 700_000,
    "objects": [{"a": 1}] * 250_000,
    "one object": {f"name{index}": [index] for index in range(120_000)},
    "deep": [[[[[[[[[["a", [1.5]]] * 20]] * 20]] * 100]]]] * 4,
    "letters": "\u00e9" * 4_000_000,
}
"""Outputs of some mebibytes. All but texts held the loop before they were read and written in turns."""


@pytest.fixture(scope="module")
def settings(valkey: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        redis_url=valkey.url, data_dir=tmp_path_factory.mktemp("answers"), max_body=1 << 20, key_store=1 << 28
    )


def tokens(count: int, *, at_once: bool = False) -> Script:
    """Return what says so many words with their log-probabilities, one by one or all in one piece."""
    entries = tuple(TokenLogprob(index, "word0", -0.5, TOP) for index in range(count))

    def said(_request: Mapping[str, Any]) -> Iterator[Output]:
        for these in [entries] if at_once else [(entry,) for entry in entries]:
            yield Delta(text="word0" * len(these), tokens=tuple(e.token for e in these), logprobs=these)
        yield Delta(finish_reason="stop")

    return said


def result(value: Any) -> Script:
    """Return what only returns a value."""
    return lambda _request: iter([{"result": value}])


ANSWERS: list[tuple[str, dict[str, Any], Script]] = [
    ("chat/completions", {"messages": [TURN], "logprobs": True, "top_logprobs": 20}, tokens(2000)),
    ("chat/completions", {"messages": [TURN], "logprobs": True, "top_logprobs": 20, "stream": True}, tokens(2000)),
    ("completions", {"prompt": "x", "logprobs": 20}, tokens(2000)),
    ("completions", {"prompt": "x", "logprobs": 20, "echo": True}, tokens(2000, at_once=True)),
    ("completions", {"prompt": "x", "logprobs": 20, "echo": True, "stream": True}, tokens(2000, at_once=True)),
    ("responses", {"input": "x", "include": ["message.output_text.logprobs"], "top_logprobs": 20}, tokens(2000)),
    ("messages", {"max_tokens": 1, "messages": [TURN]}, tokens(2000)),
    ("functions/chat/invoke", {"input": {"prompt": "x"}}, tokens(2000)),
    ("functions/chat/stream", {"input": {"prompt": "x"}}, tokens(2000)),
    ("embeddings", {"model": "vectors", "input": ["x"] * 600}, result([[0.123456789] * 384] * 600)),
    ("embeddings", {"model": "vectors", "input": "x", "dimensions": 9}, result([[0.123456789] * 200_000])),
    ("functions/hand/invoke", {"input": {"p": 1}}, result([[]] * 100_000)),
    ("functions/hand/invoke", {"input": {"p": 1}}, result(LARGE_TEXT)),
    *(("functions/hand/invoke", {"input": {"p": 1}}, result(value)) for value in LARGEST.values()),
    ("functions/hand/stream", {"input": {"p": 1}}, result(LARGEST["numbers"])),
    ("chat/completions", {"messages": [TURN]}, result(LARGEST["objects"])),
]


@pytest.mark.parametrize(
    ("path", "fields", "script"), ANSWERS, ids=[f"{path}-{i}" for i, (path, *_) in enumerate(ANSWERS)]
)
def test_no_answer_holds_the_loop(
    client: FlaskClient, node: FakeNode, stretches: Stretches, path: str, fields: dict[str, Any], script: Script
) -> None:
    node.script = script
    body = fields if path.startswith("functions") else {"model": "chat", **fields}

    def whole() -> TestResponse:
        answer = client.post(f"/v1/{path}", json=body)
        answer.get_data()
        return answer

    answer, held = stretches.shortest(whole)
    assert answer.status_code == 200, answer.get_data()[:300]
    assert held < LONGEST_SECONDS


def test_no_list_of_what_is_stored_holds_the_loop(client: FlaskClient, stretches: Stretches) -> None:
    for _ in range(5):
        stored = client.post("/v1/chat/completions", json={"model": "chat", "messages": MESSAGES, "store": True})
        assert stored.status_code == 200
    identity = stored.get_json()["id"]
    response = client.post("/v1/responses", json={"model": "chat", "input": MESSAGES}).get_json()["id"]
    for path in (
        "chat/completions?limit=100",
        f"chat/completions/{identity}/messages?limit=100&order=desc",
        f"responses/{response}",
        f"responses/{response}/input_items?limit=100",
    ):
        answer, held = stretches.shortest(lambda path=path: client.get(f"/v1/{path}"))  # type: ignore[misc]
        assert answer.status_code == 200, answer.get_data()[:300]
        assert held < LONGEST_SECONDS, path


def test_no_list_of_log_lines_holds_the_loop(client: FlaskClient, redis: Redis, stretches: Stretches) -> None:
    pipe = redis.pipeline(transaction=False)
    for number in range(10_000):
        pipe.xadd(RedisKey.LOGS.of("chat"), {"t": str(number), "stream": "stdout", "line": "x" * 200})
    pipe.execute()
    answer, held = stretches.shortest(lambda: client.get("/v1/functions/chat/logs?limit=10000"))
    assert (answer.status_code, len(answer.get_json()["data"])) == (200, 10_000)
    assert held < LONGEST_SECONDS


def test_the_metrics_of_many_processes_do_not_hold_the_loop(
    client: FlaskClient, stretches: Stretches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need no key, and are added up from the files of all processes that have run on the machine."""
    for process in range(12):
        written: Any = MmapedDict(str(tmp_path / f"counter_{process}.db"))  # type: ignore[no-untyped-call]
        for function in range(10_000):
            name = mmap_key("calls", "calls_total", ["function"], [f"f{function}"], "Calls")
            written.write_value(name, 1.0, 0.0)
        written.close()
    monkeypatch.setenv(MULTIPROCESS_VARIABLE, str(tmp_path))
    answer, held = stretches.shortest(lambda: client.get("/metrics"))
    assert 'calls_total{function="f9999"} 12.0' in answer.get_data(as_text=True)
    assert held < LONGEST_SECONDS


@pytest.fixture
def large_response(client: FlaskClient) -> dict[str, Any]:
    """A stored response to a large message."""
    answer = client.post("/v1/responses", json={"model": "chat", "input": [{"role": "user", "content": LARGE_TEXT}]})
    found: dict[str, Any] = answer.get_json()
    return found


def test_an_item_that_is_referred_to_many_times_is_no_larger_for_it(
    client: FlaskClient, large_response: dict[str, Any]
) -> None:
    """Fifteen thousand references to an item of a megabyte were a conversation of fifteen gigabytes."""
    items = client.get(f"/v1/responses/{large_response['id']}/input_items").get_json()["data"]
    reference = {"type": "item_reference", "id": items[0]["id"]}
    assert client.post("/v1/responses", json={"model": "chat", "input": [reference] * 2}).status_code == 200
    answer = client.post("/v1/responses", json={"model": "chat", "input": [reference] * 10_000})
    error = error_of(answer)
    assert (answer.status_code, error["param"]) == (400, "input.4.id")
    assert "more than 4,194,304 characters" in error["message"]


def test_a_conversation_does_not_grow_without_end(client: FlaskClient, large_response: dict[str, Any]) -> None:
    go_on: Callable[[str], TestResponse] = lambda previous: client.post(  # noqa: E731
        "/v1/responses",
        json={"model": "chat", "previous_response_id": previous, "input": [{"role": "user", "content": LARGE_TEXT}]},
    )
    answer, turns = go_on(large_response["id"]), 1
    while answer.status_code == 200:
        answer, turns = go_on(answer.get_json()["id"]), turns + 1
    assert (turns, error_of(answer)["param"]) == (5, "previous_response_id")
