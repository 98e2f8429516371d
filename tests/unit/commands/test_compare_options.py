"""What `quickthaw compare` makes of its options, and what it refuses before anything is measured."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from quickthaw.cli.main import main

NOWHERE = ["--url", "http://127.0.0.1:1"]


def said(*arguments: str) -> str:
    result = CliRunner().invoke(main, [*NOWHERE, "compare", *arguments])
    assert result.exit_code != 0
    return result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name the function to compare"),
        (["chat", "--from", "."], "either a TARGET"),
        (["chat", "--endpoint", "llama"], "NAME=URL"),
        (["chat", "--endpoint", "a=http://x", "--endpoint", "a=http://y"], "given twice"),
        (["chat", "--minutes", "0"], "--minutes"),
        (["chat", "--repeats", "0"], "--repeats"),
        (["chat", "--slo-ttft", "soon"], "not a duration"),
        (["--from", "/nowhere"], "does not exist"),
        (["chat", "--price", "nobody"], "no offer is called 'nobody'"),  # known before an hour of measuring
        (["chat", "--like", "nothing"], "no model sold by the token is called 'nothing'"),
        (["chat", "--ablation", "part:label=/nowhere"], "/nowhere/run.json does not exist"),
        (["--from", ".", "--slo-ttft", "9s", "--gpu", "L4"], "--gpu, --slo-ttft: --from measures nothing"),
        (["chat", "--nodes", "2", "--simulated-rate", "1"], "--nodes, --simulated-rate: nothing is simulated without"),
        (["chat", "--backends", "serverless", "--replicas", "2"], "--replicas: none of --backends"),
        (["chat", "--seed", "-1"], "--seed"),
        (["chat", "--trace-dir", "/nowhere"], "'/nowhere' does not exist"),  # or synthetic requests would be drawn
        (["chat", "--cv", "nan"], "nan is not in the range"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_the_option(arguments: list[str], expected: str) -> None:
    assert expected in said(*arguments)


def test_a_gateway_that_is_not_there_is_named() -> None:
    assert "127.0.0.1:1" in said("chat", "--arrivals", "constant", "--rate", "1")
