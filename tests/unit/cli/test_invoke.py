"""`quickthaw invoke`: arguments in, text out, and what the wait looks like."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import Result

from tests.unit.sdk.fake_gateway import INVOCATION, FakeGateway, event, failed, stream

Run = Callable[..., Result]

QUEUED = event(0, "status", {"state": "queued", "position": 2, "estimate_seconds": 1.25})
PAR = event(1, "chunk", {"delta": {"text": "Par", "tokens": [1]}})
IS = event(2, "chunk", {"delta": {"text": "is", "tokens": [2]}})
RESULT = event(3, "result", {"value": "Paris", "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
FAILED = event(2, "error", {"error": {"message": "ZeroDivisionError in line 3", "code": "handler_failed"}})


@pytest.mark.parametrize(
    ("words", "stdin", "expected"),
    [
        ((), None, {}),
        (('{"prompt": "x", "n": 1}',), None, {"prompt": "x", "n": 1}),
        (("-",), '{"prompt": "x"}', {"prompt": "x"}),
        (("-",), '\ufeff{"prompt": "x"}', {"prompt": "x"}),  # as editors on Windows write it
        (("prompt=NaN", "other=Infinity"), None, {"prompt": "NaN", "other": "Infinity"}),  # no JSON
        (("prompt=" + "[" * 20_000,), None, {"prompt": "[" * 20_000}),  # nor is what nobody can read
        (("prompt=Hello there", "max_tokens=5", "deep=[1, 2]", "flag=true"), None,
         {"prompt": "Hello there", "max_tokens": 5, "deep": [1, 2], "flag": True}),
        (("equation=a=b",), None, {"equation": "a=b"}),
        (("empty=",), None, {"empty": ""}),
        (("gr\udcc3\udcbc=\udcc3\udca4",), None, {"grü": "ä"}),  # in a locale that has no such letters
    ],
)  # fmt: skip
def test_arguments_become_the_input(run: Run, words: tuple[str, ...], stdin: str | None, expected: Any) -> None:
    gateway = FakeGateway([stream(RESULT)])
    result = run(gateway, "invoke", "chat", *words, input=stdin)
    assert result.exit_code == 0, result.output
    assert gateway.body() == {"input": expected}


@pytest.mark.parametrize("words", [("chat:staging",), ("chat", "--alias", "staging")])
def test_an_alias_is_called_by_its_name_behind_the_functions(run: Run, words: tuple[str, ...]) -> None:
    gateway = FakeGateway([stream(RESULT)])
    result = run(gateway, "invoke", *words, "prompt=x")
    assert result.exit_code == 0, result.output
    assert gateway.lines == ["POST /v1/functions/chat/stream"]
    assert gateway.body()["alias"] == "staging"


def test_an_alias_is_not_named_twice(run: Run) -> None:
    result = run(FakeGateway([]), "invoke", "chat:staging", "--alias", "live", "prompt=x")
    assert result.exit_code == 2
    assert "--alias" in result.stderr


def refused(param: str) -> httpx.Response:
    error = {
        "message": f"{param}: 2024 is not of type 'string'",
        "type": "t",
        "param": param,
        "code": "invalid_request",
    }
    return httpx.Response(400, json={"error": error})


@pytest.mark.parametrize("detached", [(), ("--async",)])
def test_what_looks_like_a_number_is_text_where_the_function_takes_text(run: Run, detached: tuple[str, ...]) -> None:
    reply = httpx.Response(202, json=INVOCATION) if detached else stream(RESULT)
    gateway = FakeGateway([refused("input.topic"), refused("input.to"), reply])
    result = run(gateway, "invoke", "chat", "topic=2024", "n=1", "to=null", *detached)
    assert result.exit_code == 0, result.output
    assert [gateway.body(index)["input"]["n"] for index in range(3)] == [1, 1, 1]
    assert gateway.body(2)["input"] == {"topic": "2024", "n": 1, "to": "null"}


@pytest.mark.parametrize("words", [("topic=x",), ('{"topic": 2024}',), ("other=2024",)])
def test_what_is_refused_as_text_too_or_was_given_as_json_stays_refused(run: Run, words: tuple[str, ...]) -> None:
    gateway = FakeGateway([refused("input.topic")])
    result = run(gateway, "invoke", "chat", *words)
    assert result.exit_code == 1
    assert "input.topic" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("{",), "not JSON"),
        (("[1]",), "must be a JSON object"),
        (('"x"',), "must be a JSON object"),
        (("-",), "not JSON"),
        (("prompt",), "neither a JSON object nor key=value"),
        (("=x",), "neither"),
        (("a=1", "--sampling", "temperature"), "neither"),
        (("a=1", "--stream", "--async"), "choose one"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(run: Run, words: tuple[str, ...], text: str) -> None:
    result = run(FakeGateway([]), "invoke", "chat", *words, input="")
    assert result.exit_code == 2
    assert text in result.stderr


def test_the_result_is_printed_as_text(run: Run) -> None:
    result = run(FakeGateway([stream(QUEUED, PAR, IS, RESULT)]), "invoke", "chat")
    assert result.stdout == "Paris\n"


def test_any_other_result_is_printed_as_json(run: Run) -> None:
    result = run(FakeGateway([stream(event(1, "result", {"value": [[0.5]]}))]), "invoke", "embed")
    assert json.loads(result.stdout) == [[0.5]]


def test_json_has_the_usage_too(run: Run) -> None:
    result = run(FakeGateway([stream(PAR, IS, RESULT)]), "invoke", "chat", "--json")
    assert json.loads(result.stdout) == {"value": "Paris", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


def test_a_stream_is_printed_as_it_comes_and_ends_its_line(run: Run) -> None:
    result = run(FakeGateway([stream(QUEUED, PAR, IS, RESULT)]), "invoke", "chat", "--stream")
    assert result.stdout == "Paris\n"


def test_values_of_a_stream_are_printed_a_line_each(run: Run) -> None:
    body = (event(1, "chunk", {"value": {"a": 1}}), event(2, "chunk", {"value": "text"}), event(3, "result", {}))
    assert run(FakeGateway([stream(*body)]), "invoke", "f", "--stream").stdout == '{"a": 1}\ntext\n'


def test_a_stream_as_json_is_an_event_a_line(run: Run) -> None:
    result = run(FakeGateway([stream(QUEUED, PAR, IS, RESULT)]), "invoke", "chat", "--stream", "--json")
    kinds = [json.loads(line)["type"] for line in result.stdout.splitlines()]
    assert kinds == ["status", "chunk", "chunk", "result"]


@pytest.mark.parametrize("options", [(), ("--stream",), ("--stream", "--json"), ("--json",)])
def test_a_failure_is_one_line_and_a_status(run: Run, options: tuple[str, ...]) -> None:
    result = run(FakeGateway([stream(PAR, FAILED)]), "invoke", "chat", *options)
    assert result.exit_code == 1
    assert result.stderr == "Error: ZeroDivisionError in line 3\n"
    if options == ("--stream",):
        assert result.stdout == "Par\n"  # what came before is kept, and its line ends


def delta(seq: int, **fields: Any) -> bytes:
    return event(seq, "chunk", {"delta": {"text": "", "tokens": [], **fields}})


def piece(index: int, **fields: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **fields}]}


def test_calls_of_a_stream_are_lines_of_their_own_and_thoughts_are_apart(run: Run) -> None:
    body = (
        delta(1, reasoning="Hm"),
        delta(2, reasoning="m."),
        delta(3, text="I ask."),
        delta(4, **piece(0, id="1", name="add")),
        delta(5, **piece(0, arguments='{"a": ')),
        delta(6, **piece(0, arguments="1}")),
        delta(7, **piece(1, id="2", name="now", arguments="{}")),
        delta(8, text="Done."),
        event(9, "chunk", {"value": 7}),
        event(10, "result", {}),
    )
    result = run(FakeGateway([stream(*body)]), "invoke", "f", "--stream")
    assert result.stdout == 'I ask.\ncall add({"a": 1})\ncall now({})\nDone.\n7\n'
    assert result.stderr == "Hmm.\n"


def test_a_stream_that_ends_in_a_call_ends_its_line(run: Run) -> None:
    body = (delta(1, **piece(0, id="1", name="add", arguments="{}")), event(2, "result", {}))
    assert run(FakeGateway([stream(*body)]), "invoke", "f", "--stream").stdout == "call add({})\n"


def test_chat_options_are_sent(run: Run) -> None:
    gateway = FakeGateway([stream(RESULT)])
    run(gateway, "invoke", "chat", "-c", "tool_choice=none", "--chat", 'tools=[{"type": "function"}]')
    assert gateway.body()["chat"] == {"tool_choice": "none", "tools": [{"type": "function"}]}


def test_alias_and_sampling_are_sent(run: Run) -> None:
    gateway = FakeGateway([stream(RESULT)])
    run(gateway, "invoke", "chat", "--alias", "next", "-s", "temperature=0", "-s", "stop=end")
    assert gateway.body() == {"input": {}, "alias": "next", "sampling": {"temperature": 0.0, "stop": ["end"]}}


def test_a_detached_call_prints_its_id(run: Run) -> None:
    gateway = FakeGateway([httpx.Response(202, json=INVOCATION)])
    result = run(gateway, "invoke", "chat", "--async")
    assert result.stdout == "inv-1\n"
    assert "quickthaw invocations follow inv-1" in result.stderr
    assert gateway.lines == ["POST /v1/functions/chat/async"]


def test_a_detached_call_is_followed_later(run: Run) -> None:
    assert run(FakeGateway([stream(PAR, IS, RESULT)]), "invocations", "follow", "inv-1").stdout == "Paris\n"


def test_an_unknown_function_shows_the_near_names(run: Run) -> None:
    answer = failed(404, "model_not_found", "no function is called 'caht'; known: chat")
    result = run(FakeGateway([answer]), "invoke", "caht")
    assert (result.exit_code, result.stderr) == (1, "Error: no function is called 'caht'; known: chat\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("prompt=a", "prompt=b"), "prompt is given twice"),
        (('{"n": NaN}',), "NaN is no number in JSON"),
        (("[" * 20_000,), "nested too deeply"),
        (("prompt=caf\udce9",), "is not text in UTF-8"),  # a byte of Latin-1, as a shell passes it on
        (("--compress", "NaN"), "give the part that is kept"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_before_a_call(run: Run, words: tuple[str, ...], expected: str) -> None:
    result = run(FakeGateway([]), "invoke", "chat", *words)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_standard_input_that_is_not_utf_8_is_named(run: Run) -> None:
    result = run(FakeGateway([]), "invoke", "chat", "-", input=b'{"prompt": "caf\xe9"}')
    assert result.exit_code == 2
    assert "standard input is not text in UTF-8" in result.stderr


@pytest.mark.parametrize("name", ["", ".", "..", "caf\udce9", "a\nb"], ids=ascii)
@pytest.mark.parametrize("command", [("describe",), ("rm", "--yes"), ("logs",), ("keys", "revoke"), ("models", "show")])
def test_a_name_that_would_lead_elsewhere_is_refused_before_a_call(
    run: Run, command: tuple[str, ...], name: str
) -> None:
    result = run(FakeGateway([]), *command, name)
    assert result.exit_code == 1
    assert "is no name" in result.stderr
