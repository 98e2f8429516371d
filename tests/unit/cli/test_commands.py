"""What each command asks of the gateway, and what it prints: for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import Result

from tests.unit.sdk.api_answers import (
    ALIAS,
    CHECKPOINT,
    DELETED,
    FUNCTION,
    INSTANCE,
    KEY,
    LINE,
    NODE,
    VERSION,
    listed,
)
from tests.unit.sdk.fake_gateway import INVOCATION, URL, FakeGateway, event, stream

Run = Callable[..., Result]


def ok(body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


LOCATED = {
    **CHECKPOINT,
    "dtype": "bfloat16",
    "tensors": 272,
    "copies": [
        {"node": "n1", "tiers": ["dram", "disk"], "arriving_bytes": None, "push_error": None},
        {"node": "n2", "tiers": ["remote"], "arriving_bytes": 512, "push_error": "s3://b/k: 501"},
    ],
}

NOT_COMPRESSED = {"original_tokens": None, "compression": None}

RESULT = {
    "checkpoint": "c1", "protocol": "hf", "text": "wikitext-2", "text_sha256": "0" * 64, "whole": True,
    "engine": "transformers", "options": {"dtype": "float32"}, "measured_at": 1.0,
    "metrics": {"perplexity": {"value": 21.5, "low": 20.9, "high": 22.2}},
}  # fmt: skip
CANARY = {"name": "live", "weights": {"v1": 0.9, "v2": 0.1}}

PRIMED = {
    **INVOCATION,
    "tier": "primed",
    "usage": {"prompt_tokens": 1234, "completion_tokens": 1, "cached_tokens": 1200} | NOT_COMPRESSED,
}

SHOWS: list[tuple[tuple[str, ...], list[Any], list[str], list[str]]] = [
    # command line, the gateway's answers, what is asked, what people read
    (("ls",), [listed(FUNCTION)], ["GET /v1/functions"], ["chat", "v1", "echo"]),
    (
        ("describe", "chat"), [FUNCTION], ["GET /v1/functions/chat"],
        ["alias live", f"POST {URL}/t/chat", f"{URL}/v1 as base URL, chat as model"],
    ),
    (
        ("versions", "chat"), [listed(VERSION), listed(ALIAS)],
        ["GET /v1/functions/chat/versions", "GET /v1/functions/chat/aliases"], ["NUMBER", "v1", "live"],
    ),
    (("alias", "ls", "chat"), [listed(ALIAS)], ["GET /v1/functions/chat/aliases"], ["live", "v1"]),
    (
        ("alias", "set", "chat", "live", "1=0.9", "2=0.1"), [{"name": "live", "weights": {"v1": 0.9, "v2": 0.1}}],
        ["PUT /v1/functions/chat/aliases/live"], ["chat: live → v1 90%, v2 10%"],
    ),
    (("rollback", "chat"), [ALIAS], ["POST /v1/functions/chat/rollback"], ["chat: live → v1"]),
    (("ps",), [listed(NODE), listed(INSTANCE)], ["GET /v1/nodes", "GET /v1/instances"], ["n1", "i1", "0/8"]),
    (
        ("drain", "n1"), [NODE | {"state": "draining"}], ["POST /v1/nodes/n1/drain"],
        ["n1 is draining: it takes nothing new; 0 instances left"],
    ),
    (("models", "ls"), [listed(CHECKPOINT)], ["GET /v1/checkpoints"], ["generate", "1 B"]),
    (
        ("models", "show", "m"), [LOCATED, listed()], ["GET /v1/checkpoints/m", "GET /v1/checkpoints/m/results"],
        ["1 B of bfloat16", "272 in 1 file", "n1: dram, disk; n2: remote"],
    ),
    (
        ("models", "show", "m"), [LOCATED | {"weights_format": "gguf", "quantization": "Q4_1"}, listed(RESULT)],
        ["GET /v1/checkpoints/m", "GET /v1/checkpoints/m/results"],
        ["1 B of Q4_1, GGUF", "perplexity[hf,wikitext-2]", "21.5", "20.9 to 22.2", "transformers, dtype=float32"],
    ),
    (
        ("models", "where", "m"), [LOCATED], ["GET /v1/checkpoints/m"],
        ["n1", "yes", "512 B to come", "n2 cannot push it to the remote tier, and tries again: s3://b/k: 501"],
    ),
    (("keys", "ls"), [listed(KEY)], ["GET /v1/keys"], ["k1", "ci", "invoke"]),
    (("keys", "create", "ci"), [{**KEY, "key": "qt-new"}], ["POST /v1/keys"], ["qt-new", "not shown again"]),
    (("secrets", "ls", "chat"), [listed({"name": "TOKEN"})], ["GET /v1/functions/chat/secrets"], ["TOKEN"]),
    (("logs", "chat"), [listed(LINE)], ["GET /v1/functions/chat/logs?limit=1000"], ["stdout", "hello"]),
    (("invocations", "show", "inv-1"), [INVOCATION], ["GET /v1/invocations/inv-1"], ["succeeded", "Paris"]),
    (
        ("invocations", "show", "inv-1"),
        [PRIMED],
        ["GET /v1/invocations/inv-1"], ["1,234, of which 1,200 were read before", "start from", "primed"],
    ),
    (("invocations", "cancel", "inv-1"), [INVOCATION], ["DELETE /v1/invocations/inv-1"], ["inv-1"]),
]  # fmt: skip


@pytest.mark.parametrize(("command", "answers", "lines", "expected"), SHOWS)
def test_people_read_a_table(
    run: Run, command: tuple[str, ...], answers: list[Any], lines: list[str], expected: list[str]
) -> None:
    gateway = FakeGateway([ok(answer) for answer in answers])
    result = run(gateway, *command)
    assert result.exit_code == 0, result.output
    assert gateway.lines == lines
    for text in expected:
        assert text in result.output


@pytest.mark.parametrize(("command", "answers", "lines", "expected"), SHOWS)
def test_programs_read_json(
    run: Run, command: tuple[str, ...], answers: list[Any], lines: list[str], expected: list[str]
) -> None:
    result = run(FakeGateway([ok(answer) for answer in answers]), *command, "--json")
    assert result.exit_code == 0, result.output
    body = json.loads(result.stdout)
    first = answers[0]["data"] if "data" in answers[0] else answers[0]
    found = body["nodes"] if command == ("ps",) else body
    if isinstance(first, list):
        first, found = first[0], found[0] if isinstance(found, list) else found
    assert {name: found[name] for name in first if name != "spec"} == {k: v for k, v in first.items() if k != "spec"}


def test_a_canary_is_promoted_behind_its_bars(run: Run) -> None:
    versions = listed(VERSION, VERSION | {"id": "v2", "number": 2})
    gateway = FakeGateway([ok(listed(CANARY)), ok(versions), ok(ALIAS)])
    promoted = run(gateway, "promote", "chat", "--require", "perplexity<=20")
    assert promoted.output == "chat: live → v1\n"
    assert gateway.body() == {"weights": {"v2": 1.0}, "require": ["perplexity<=20"]}


def test_a_promotion_names_its_version_where_there_is_no_canary(run: Run) -> None:
    refused = run(FakeGateway([ok(listed(ALIAS))]), "promote", "chat")
    assert refused.exit_code == 1
    assert "weighs no canary; name the version to promote with --to" in refused.output
    gateway = FakeGateway([ok(ALIAS)])
    assert run(gateway, "promote", "chat", "--alias", "next", "--to", "2", "--json").exit_code == 0
    assert gateway.lines == ["PUT /v1/functions/chat/aliases/next"]


def test_a_deploy_hands_every_bar_on(run: Run) -> None:
    gateway = FakeGateway([ok(VERSION)])
    bars = ("--require", "perplexity[hf,wikitext-2]<=20", "--require", "bleu>=1")
    assert run(gateway, "deploy", "--model", "m", "--name", "chat", *bars).exit_code == 0
    (asked,) = gateway.requests
    assert asked.url.params.get_list("require") == ["perplexity[hf,wikitext-2]<=20", "bleu>=1"]


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("ls",), "quickthaw deploy"),
        (("models", "ls"), "quickthaw models import"),
        (("keys", "ls"), "quickthaw keys create"),
        (("secrets", "ls", "chat"), "quickthaw secrets set chat"),
    ],
)
def test_an_empty_list_says_what_to_do_and_is_empty_json(run: Run, command: tuple[str, ...], hint: str) -> None:
    result = run(FakeGateway([ok(listed())]), *command)
    assert hint in result.stderr
    assert result.stdout == ""
    assert json.loads(run(FakeGateway([ok(listed())]), *command, "--json").stdout) == []


@pytest.mark.parametrize(
    ("command", "input", "line", "body"),
    [
        (("rm", "chat", "-y"), None, "DELETE /v1/functions/chat", None),
        (("rm", "chat"), "y\n", "DELETE /v1/functions/chat", None),
        (("models", "rm", "m", "--yes"), None, "DELETE /v1/checkpoints/m", None),
        (("keys", "revoke", "k1"), None, "DELETE /v1/keys/k1", None),
        (("stop", "i1"), None, "DELETE /v1/instances/i1", None),
        (("alias", "rm", "chat", "next"), None, "DELETE /v1/functions/chat/aliases/next", None),
        (("secrets", "rm", "chat", "TOKEN"), None, "DELETE /v1/functions/chat/secrets/TOKEN", None),
    ],
)
def test_things_are_removed(run: Run, command: tuple[str, ...], input: str | None, line: str, body: Any) -> None:
    gateway = FakeGateway([ok(DELETED)])
    result = run(gateway, *command, input=input)
    assert result.exit_code == 0, result.output
    assert gateway.lines == [line]


@pytest.mark.parametrize(
    ("command", "line", "body"),
    [
        (("models", "pull", "m", "n1"), "POST /v1/checkpoints/m/pull", {"node": "n1"}),
        (("models", "evict", "m", "n1"), "POST /v1/checkpoints/m/evict", {"node": "n1", "tier": "dram"}),
        (
            ("models", "evict", "m", "n1", "--tier", "disk"),
            "POST /v1/checkpoints/m/evict",
            {"node": "n1", "tier": "disk"},
        ),
    ],
)
def test_checkpoints_are_moved_between_tiers(run: Run, command: tuple[str, ...], line: str, body: Any) -> None:
    gateway = FakeGateway([ok(CHECKPOINT)])
    result = run(gateway, *command)
    assert result.exit_code == 0, result.output
    assert gateway.lines == [line]
    assert gateway.body() == body


@pytest.mark.parametrize("command", [("rm", "chat"), ("models", "rm", "m")])
def test_no_means_no(run: Run, command: tuple[str, ...]) -> None:
    gateway = FakeGateway([])
    assert run(gateway, *command, input="n\n").exit_code == 1
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("value", "input"),
    [(("s3cret",), None), (("-",), "s3cret\n"), ((), "s3cret\n")],
)
def test_a_secret_comes_from_an_argument_or_a_pipe(run: Run, value: tuple[str, ...], input: str | None) -> None:
    gateway = FakeGateway([ok({"name": "TOKEN"})])
    result = run(gateway, "secrets", "set", "chat", "TOKEN", *value, input=input)
    assert result.exit_code == 0, result.output
    assert gateway.body() == {"value": "s3cret"}
    assert "s3cret" not in result.stdout


@pytest.mark.parametrize("value", [(), ("-",)])
@pytest.mark.parametrize(("input", "told"), [("\n", "no value for TOKEN"), (b"\xff", "not text in UTF-8")])
def test_a_secret_is_not_set_to_what_nobody_meant(run: Run, value: tuple[str, ...], input: Any, told: str) -> None:
    result = run(FakeGateway([]), "secrets", "set", "chat", "TOKEN", *value, input=input)
    assert (result.exit_code, told in result.stderr) == (2, True)


def test_an_argument_that_the_locale_does_not_know_arrives_as_it_was_written(run: Run) -> None:
    gateway = FakeGateway([ok({"name": "TOKEN"})])
    run(gateway, "secrets", "set", "chat", "TOKEN", "\udcc3\udcbc")
    assert gateway.body() == {"value": "ü"}


def test_a_key_has_the_scopes_and_quotas_that_were_asked_for(run: Run) -> None:
    gateway = FakeGateway([ok({**KEY, "key": "qt-new"})])
    options = ("--scope", "deploy", "--scope", "invoke", "--requests", "40 per 3 hours", "--tokens-per-minute", "9")
    most = ("--store-bytes", "64MiB", "--max-memory", "2GiB", "--max-weight", "3", "--max-keep-alive", "10m")
    assert (
        run(gateway, "keys", "create", "ci", *options, *most, "--weight", "2.5", "--max-instances", "4").exit_code == 0
    )
    assert gateway.body() == {
        "name": "ci",
        "scopes": ["deploy", "invoke"],
        "quotas": {
            "requests": "40 per 3 hours",
            "tokens_per_minute": 9,
            "store_bytes": 64 << 20,
            "memory": 2 << 30,
            "weight": 3.0,
            "keep_alive": 600.0,
            "max_instances": 4,
        },
        "weight": 2.5,
    }


def test_a_size_of_a_key_that_cannot_be_is_refused_with_the_field(run: Run) -> None:
    result = run(FakeGateway([]), "keys", "create", "ci", "--store-bytes", "lots")
    assert result.exit_code != 0
    assert "store_bytes" in result.output


def test_only_the_key_is_on_standard_output(run: Run) -> None:
    assert run(FakeGateway([ok({**KEY, "key": "qt-new"})]), "keys", "create", "ci").stdout == "qt-new\n"


def test_rollback_goes_to_the_version_named(run: Run) -> None:
    gateway = FakeGateway([ok(ALIAS)])
    run(gateway, "rollback", "chat", "--to", "3", "--alias", "next")
    assert gateway.body() == {"alias": "next", "version": "3"}


def test_logs_follow_behind_the_last_line(run: Run) -> None:
    def log(number: int) -> bytes:
        data = event(0, "log", {"id": f"{number}-0", "t": 1.0, "line": f"line {number}"})
        return f"id: {number}-0\n".encode() + data

    end = event(0, "error", {"error": {"message": "no function is called 'chat'", "code": "model_not_found"}})
    gateway = FakeGateway([ok(listed({**LINE, "id": "1-0"})), stream(log(2), log(3), end)])
    result = run(gateway, "logs", "chat", "-f", "-n", "1")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["hello", "2", "3"]
    assert result.exit_code == 1
    assert gateway.requests[1].headers["last-event-id"] == "1-0"


def test_log_lines_as_json_are_one_object_a_line(run: Run) -> None:
    result = run(FakeGateway([ok(listed(LINE, {**LINE, "id": "2-0", "line": "two"}))]), "logs", "chat", "--json")
    assert [json.loads(line)["line"] for line in result.stdout.splitlines()] == ["hello", "two"]


def test_text_from_elsewhere_is_not_markup(run: Run) -> None:
    function = {**FUNCTION, "model": "[red]m[/red]"}
    assert "[red]m[/red]" in run(FakeGateway([ok(listed(function))]), "ls").output


def test_an_eviction_that_may_not_happen_is_not_told_as_done(run: Run) -> None:
    result = run(FakeGateway([ok(CHECKPOINT)]), "models", "evict", "m", "n1", "--tier", "disk")
    assert "is to drop m from its memory and disk; the only copy stays" in result.output


def test_an_alias_weighs_each_version_once(run: Run) -> None:
    result = run(FakeGateway([]), "alias", "set", "chat", "live", "3=0.9", "4=0.05", "3=0.05")
    assert (result.exit_code, "3 is given twice" in result.stderr) == (2, True)


def test_global_options_choose_gateway_and_key(run: Run) -> None:
    gateway = FakeGateway([ok(listed())])
    run(gateway, "--url", "http://other.test:1", "--api-key", "qt-x", "ls")
    assert str(gateway.requests[0].url) == "http://other.test:1/v1/functions"
    assert gateway.requests[0].headers["authorization"] == "Bearer qt-x"
