"""Bars that a checkpoint must clear: how they are written, what counts, what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.results import CheckpointResult, Measured
from quickthaw_platform.errors import Conflict, InvalidRequest
from quickthaw_platform.registry.bars import Bar, Served, check_bars

SERVED = Served("tiny", "c1", "transformers")


def result(value: float = 20.0, **fields: Any) -> CheckpointResult:
    common: dict[str, Any] = {
        "checkpoint": "c1", "protocol": "hf", "text": "wikitext-2", "text_sha256": "0" * 64, "whole": True,
        "engine": "transformers", "metrics": {"perplexity": Measured(value=value)},
    }  # fmt: skip
    return CheckpointResult(**common | fields)


def check(written: str, *results: CheckpointResult, served: Served = SERVED) -> None:
    check_bars([Bar.parse(written)], served, results)


@pytest.mark.parametrize(
    ("written", "bar"),
    [
        ("perplexity<=20", Bar("perplexity", None, None, True, 20.0)),
        ("perplexity[hf,wikitext-2]<=20", Bar("perplexity", "hf", "wikitext-2", True, 20.0)),
        (" rouge-1 [ continuation , my.text ] >= 1e-1 ", Bar("rouge-1", "continuation", "my.text", False, 0.1)),
    ],
    ids=["bare", "named", "blanks"],
)
def test_a_bar_is_read(written: str, bar: Bar) -> None:
    assert Bar.parse(written) == bar


@pytest.mark.parametrize(
    "written",
    ["", "perplexity", "perplexity<20", "perplexity=20", "perplexity<=", "perplexity<=low", "perplexity<=nan",
     "perplexity<=inf", "perplexity[hf]<=20", "perplexity[,]<=20", "<=20"],
)  # fmt: skip
def test_what_is_no_bar_is_refused_with_the_form(written: str) -> None:
    with pytest.raises(InvalidRequest, match=r"such as perplexity\[hf,wikitext-2\]<=20"):
        Bar.parse(written)


def test_a_bar_is_cleared_up_to_its_very_number() -> None:
    check("perplexity[hf,wikitext-2]<=20", result(20.0))
    check("perplexity[hf,wikitext-2]>=20", result(20.0))
    check("perplexity<=20", result(19.0))


def test_a_worse_figure_is_refused_with_what_it_is() -> None:
    with pytest.raises(Conflict, match=r"is missed: tiny has perplexity 20\.5 by hf on wikitext-2") as refused:
        check("perplexity[hf,wikitext-2]<=20", result(20.5))
    assert refused.value.code == "bar_missed"


@pytest.mark.parametrize(
    "other",
    [
        result(1.0, checkpoint="c2"),
        result(1.0, engine="llamacpp"),
        result(1.0, adapter="lora"),
        result(1.0, options={"dtype": "bfloat16"}),
        result(1.0, options={"compute": "mixed", "exact": False}),
        result(1.0, protocol="gptq"),
        result(1.0, text="another"),
        result(1.0, metrics={"bleu": Measured(value=1.0)}),
    ],
    ids=["another checkpoint", "another engine", "an adapter", "dtype", "compute", "protocol", "text", "metric"],
)
def test_a_result_about_something_else_does_not_count_and_the_command_is_named(other: CheckpointResult) -> None:
    command = r"`quickthaw validate tiny --protocol hf --text FILE` measures it, FILE being wikitext-2"
    with pytest.raises(Conflict, match=command):
        check("perplexity[hf,wikitext-2]<=20", other)


def test_options_that_change_no_figure_do_not_matter() -> None:
    check("perplexity[hf,wikitext-2]<=20", result(options={"threads": 1}))


@pytest.mark.parametrize("options", [{"dtype": "float32"}, {"compute": "mixed", "exact": False}], ids=str)
def test_the_adapter_and_the_precision_of_a_function_are_those_that_were_measured(options: dict[str, Any]) -> None:
    served = Served("tiny", "c1", "transformers", "lora", {**options, "threads": 1})
    check("perplexity<=20", result(adapter="lora", options=options), served=served)


def test_the_command_that_measures_has_the_precision_of_the_function() -> None:
    served = Served("tiny", "c1", "transformers", options={"compute": "mixed", "exact": False, "threads": 1})
    command = "`quickthaw validate tiny --option compute=mixed --option exact=false --text FILE` measures one"
    with pytest.raises(Conflict, match=command):
        check("perplexity<=20", result(1.0), served=served)


def test_a_part_of_the_text_clears_no_bar() -> None:
    with pytest.raises(Conflict, match="only one on a part of the text"):
        check("perplexity[hf,wikitext-2]<=20", result(1.0, whole=False))


def test_two_protocols_are_never_taken_for_each_other() -> None:
    both = (result(10.0), result(10.0, protocol="gptq"))
    with pytest.raises(InvalidRequest, match=r"perplexity\[gptq,wikitext-2\] or perplexity\[hf,wikitext-2\]"):
        check("perplexity<=20", *both)
    check("perplexity[gptq,wikitext-2]<=20", *both)


def test_of_two_measurements_the_later_one_counts() -> None:
    check("perplexity<=20", result(19.0, measured_at=2.0), result(30.0, measured_at=1.0))
    with pytest.raises(Conflict):
        check("perplexity<=20", result(19.0, measured_at=1.0), result(30.0, measured_at=2.0))


@pytest.mark.parametrize(
    ("bar", "command"),
    [
        ("bleu[continuation,t]>=1", "tiny --quality --continuations 0 --text FILE`"),
        ("bleu[continuation@16.8,t]>=1", "tiny --quality --continuations 0 --prompt-words 16 --reference-words 8 --t"),
        ("perplexity[hf@2048.256,t]<=1", "tiny --protocol hf --window 2048 --stride 256 --text FILE`"),
        ("perplexity[gptq@1024,t]<=1", "tiny --protocol gptq --window 1024 --text FILE`"),
        ("perplexity<=1", "tiny --text FILE` measures one"),
        ("bleu>=1", "tiny --quality --continuations 0 --text FILE` measures one"),
    ],
    ids=["continuation", "split otherwise", "window and stride", "window", "bare", "bare of continuations"],
)
def test_the_command_that_measures_is_whole(bar: str, command: str) -> None:
    with pytest.raises(Conflict) as refused:
        check(bar)
    assert command in refused.value.message


@pytest.mark.parametrize("figure", [{"value": 1.0, "low": 0.5}, {"value": 1.0, "low": 2.0, "high": 3.0}])
def test_an_interval_holds_its_figure(figure: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="interval"):
        Measured(**figure)
