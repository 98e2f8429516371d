"""`quickthaw compress`: text in, shorter text out; a function's answer is verified."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result

from tests.unit.sdk.fake_gateway import INVOCATION, FakeGateway

Run = Callable[..., Result]

TEXT = "The old house of the family stands in 3 acres of land, and it is really very big. Is it?\n"
SHOTS = "Q: a 1 b?\nA: 1\n\nQ: c 2 d?\nA: 2\n\nQ: c 3?\nA:"


def answered(text: str, kept: list[list[int]]) -> httpx.Response:
    result = {"text": text, "reason": "compressed", "original_tokens": 20, "tokens": 9, "kept": kept}
    return httpx.Response(200, json={**INVOCATION, "state": "succeeded", "result": result})


def test_the_text_of_a_file_comes_out_shorter_and_the_numbers_are_told_apart(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text(TEXT)
    result = run(FakeGateway([]), "compress", str(file))
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("Is it?\n")
    assert len(result.stdout) < len(TEXT)
    assert result.stderr.startswith("compressed: 12 of 23 tokens")


@pytest.mark.parametrize("aim", [("--ratio", "0.7"), ("--budget", "16")])
def test_json_has_the_numbers_and_the_parts_that_stay(run: Run, aim: tuple[str, str]) -> None:
    told = json.loads(run(FakeGateway([]), "compress", *aim, "--json", input=TEXT).stdout)
    assert told["reason"] == "compressed"
    assert 12 < told["tokens"] <= 17 < told["original_tokens"] == 23
    assert "".join(TEXT[start:end] for start, end in told["kept"]) == told["text"]


def test_a_diff_shows_what_is_deleted(run: Run) -> None:
    shown = run(FakeGateway([]), "compress", "--diff", input=TEXT).stdout
    assert shown.startswith("[-The -]old house")
    assert shown.replace("[-", "").replace("-]", "") == TEXT


def test_what_cannot_be_shorter_comes_out_as_it_is_and_why(run: Run) -> None:
    result = run(FakeGateway([]), "compress", input="x = 1\n")
    assert result.stdout == "x = 1\n"
    assert result.stderr.startswith("protected: ")


def test_a_function_is_asked_and_what_it_deleted_is_printed(run: Run) -> None:
    gateway = FakeGateway([answered(TEXT[4:], [[4, len(TEXT)]])])
    result = run(gateway, "compress", "--by", "compress", "--budget", "9", "--question", "Is it?", input=TEXT)
    assert result.stdout == TEXT[4:]
    assert gateway.body() == {"input": {"text": TEXT, "budget": 9, "question": "Is it?"}}


@pytest.mark.parametrize(
    ("text", "kept", "reason"),
    [
        ("The old house. Is it?\n", [[0, 13]], "not_a_subsequence"),
        (TEXT.replace("3 acres ", ""), [[0, 38], [46, len(TEXT)]], "lost_span"),
    ],
    ids=["other words", "a number less"],
)
def test_a_function_that_does_more_than_delete_is_not_believed(
    run: Run, text: str, kept: list[list[int]], reason: str
) -> None:
    result = run(FakeGateway([answered(text, kept)]), "compress", "--by", "other", input=TEXT)
    assert result.stdout == TEXT
    assert result.stderr.startswith(f"{reason}: 20 of 20")


@pytest.mark.parametrize(("options", "believed"), [(("--drop-examples",), True), ((), False)], ids=["may", "may not"])
def test_whole_examples_may_only_go_where_that_was_asked_for(
    run: Run, options: tuple[str, ...], believed: bool
) -> None:
    start = SHOTS.index("Q: c 2")
    gateway = FakeGateway([answered(SHOTS[start:], [[start, len(SHOTS)]])])
    result = run(gateway, "compress", "--by", "other", *options, input=SHOTS)
    assert result.stdout == (SHOTS[start:] if believed else SHOTS)


@pytest.mark.parametrize("value", ["a text", {"text": "a"}, None, 3], ids=["text", "half", "nothing", "number"])
def test_a_function_that_compresses_nothing_is_named(run: Run, value: Any) -> None:
    reply = httpx.Response(200, json={**INVOCATION, "state": "succeeded", "result": value})
    result = run(FakeGateway([reply]), "compress", "--by", "chat", input=TEXT)
    assert result.exit_code == 1
    assert "chat did not return a compressed text" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ratio", "0"), "--ratio"),
        (("--ratio", "2"), "--ratio"),
        (("--budget", "0"), "--budget"),
        (("--ratio", "0.5", "--budget", "3"), "either --ratio or --budget"),
        (("--question", "What?"), "does not hold it"),
    ],
)
def test_wrong_options_are_told(run: Run, options: tuple[str, ...], message: str) -> None:
    result = run(FakeGateway([]), "compress", *options, input=TEXT)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_that_is_no_text_is_told(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"abc\xff")
    result = run(FakeGateway([]), "compress", str(file))
    assert result.exit_code == 2
    assert "no UTF-8 text" in result.stderr


def test_a_ratio_that_is_no_number_is_refused(run: Run) -> None:
    result = run(FakeGateway([]), "compress", "--ratio", "nan", input=TEXT)
    assert result.exit_code == 2
    assert "nan is not in the range" in result.stderr
