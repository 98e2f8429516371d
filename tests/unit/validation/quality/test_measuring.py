"""Passages continued by calls: greedy, resumed, patient; what is said of answers without a word."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from quickthaw.errors import FunctionFailed, Unreachable
from quickthaw_platform.errors import Conflict, InvalidRequest, QuickthawError, UnusableAnswer
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.quality.answers import key_of
from quickthaw_platform.validation.quality.measuring import Wanted, measure_quality
from quickthaw_platform.validation.quality.passages import Split
from quickthaw_platform.validation.quality.writer import ATTEMPTS, PATH, Writer
from quickthaw_platform.validation.result import Subject

COUNT = 12
CORPUS = Corpus("t.txt", "text", ("\n\n".join(" ".join(f"p{i}w{j}" for j in range(8)) for i in range(COUNT)),))
WANTED = Wanted(0, Split(4, 3), seed=5)
SUBJECT = Subject(function="f", version="v1", checkpoint="m", digest="c1", engine="echo", model="f")

Reply = Callable[[dict[str, Any]], httpx.Response]


def said(text: object) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"text": text}]})


def right(body: dict[str, Any]) -> httpx.Response:
    """Continue as the paragraph goes on, and say more than is compared."""
    number = body["prompt"].split("w")[0]
    return said(f" {number}w4 {number}w5 {number}w6 {number}w7 and on")


class Server:
    """Answers calls and remembers them."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.waits: list[float] = []

    def writer(self, **fields: Any) -> Writer:
        async def answer(request: httpx.Request) -> httpx.Response:
            self.bodies.append(json.loads(request.content))
            return self.reply(self.bodies[-1])

        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)
            await asyncio.sleep(0)

        target = Target("http://gateway", "f", PATH)
        return Writer(target, seed=5, parallel=3, transport=httpx.MockTransport(answer), sleep=sleep, **fields)


def measured(server: Server, folder: Path, *, resume: bool = False, **fields: Any) -> Any:
    return measure_quality(server.writer(**fields), SUBJECT, CORPUS, WANTED, folder, resume=resume)


def test_each_passage_is_continued_greedily_and_compared_at_its_references_length(tmp_path: Path) -> None:
    server = Server(right)
    done: list[int] = []
    result = measured(server, tmp_path, progress=done.append)
    assert sorted(body["prompt"] for body in server.bodies) == sorted(
        f"p{i}w0 p{i}w1 p{i}w2 p{i}w3" for i in range(COUNT)
    )
    assert {(body["model"], body["temperature"], body["seed"], body["max_tokens"]) for body in server.bodies} == {
        ("f", 0, 5, 6)
    }
    assert result.figures["rouge-1"].value == pytest.approx(100)
    assert result.floors["copy"]["rouge-1"].value == 0
    assert (result.passages, result.of_passages, result.whole, result.empty, result.short) == (COUNT, COUNT, True, 0, 0)
    assert "tok:13a" in result.signatures["bleu"]
    assert done == list(range(COUNT + 1))
    assert list(tmp_path.iterdir()) == []


def test_short_and_empty_continuations_are_counted(tmp_path: Path) -> None:
    server = Server(lambda body: said("") if body["prompt"].startswith(("p1w", "p2w")) else said("one two"))
    result = measured(server, tmp_path)
    assert (result.empty, result.short) == (2, COUNT)


def test_a_model_that_says_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnusableAnswer, match="f continued none of 12 paragraphs by a single word"):
        measured(Server(lambda body: said(" \n")), tmp_path)


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    breaking = Server(lambda body: _broken() if body["prompt"].startswith("p7w") else right(body))
    with pytest.raises(FunctionFailed):
        measured(breaking, tmp_path)
    (file,) = tmp_path.iterdir()
    with file.open("a") as cut_short:
        cut_short.write('{"passage": 7, "te')
    kept = file.read_text().count('"text"')
    assert kept >= 5
    rest = Server(right)
    result = measured(rest, tmp_path, resume=True)
    assert len(rest.bodies) == COUNT - kept
    assert result.figures["rouge-1"].value == pytest.approx(100)


def test_without_resume_a_run_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(FunctionFailed):
        measured(Server(lambda body: _broken() if body["prompt"].startswith("p7w") else right(body)), tmp_path)
    again = Server(right)
    measured(again, tmp_path)
    assert len(again.bodies) == COUNT


def test_two_runs_of_the_same_at_once_are_refused(tmp_path: Path) -> None:
    model = "http://gateway/v1/completions f v1 c1"
    path = tmp_path / f"quality-{key_of(WANTED.split.passages(CORPUS), model, WANTED.seed)[:32]}.jsonl"
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="by another process"):
            measured(Server(right), tmp_path)


def test_a_platform_at_fault_is_asked_again_and_not_for_ever(tmp_path: Path) -> None:
    replies = [httpx.Response(503, json=_error("unavailable"), headers={"Retry-After": "2"})] * 3
    server = Server(lambda body: replies.pop() if replies else right(body))
    assert measured(server, tmp_path).figures["rouge-1"].value == pytest.approx(100)
    assert server.waits == [2.0] * 3
    down = Server(lambda _body: httpx.Response(503, json=_error("unavailable")))
    with pytest.raises(QuickthawError):
        measured(down, tmp_path)
    assert max(down.waits) == 15.0
    assert len(down.waits) >= ATTEMPTS - 1


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200, text="no json"), httpx.Response(200, json={"choices": []}), said(None), said(7)],
    ids=["no JSON", "no choice", "null", "number"],
)
def test_an_answer_that_is_no_completion_is_told(answer: httpx.Response, tmp_path: Path) -> None:
    with pytest.raises(UnusableAnswer):
        measured(Server(lambda _body: answer), tmp_path)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    def refuse(_body: dict[str, Any]) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable, match="http://gateway/v1/completions does not answer"):
        measured(Server(refuse), tmp_path)


def test_a_text_without_a_long_enough_paragraph_asks_nothing(tmp_path: Path) -> None:
    server = Server(right)
    with pytest.raises(InvalidRequest, match="no paragraph"):
        measure_quality(server.writer(), SUBJECT, CORPUS, Wanted(), tmp_path, resume=False)
    assert server.bodies == []


def _broken() -> httpx.Response:
    return httpx.Response(500, json=_error("function_failed"))


def _error(code: str) -> dict[str, Any]:
    return {"error": {"message": code, "code": code, "type": "server_error", "param": None}}
