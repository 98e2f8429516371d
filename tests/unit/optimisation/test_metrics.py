"""Metrics: what scores 1, and what is refused before any call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue, ValidationError

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.optimisation.metrics import Metric, check, scorer

CASES: list[tuple[dict[str, Any], str, JsonValue, float]] = [
    ({"kind": "exact"}, " Paris\n", "Paris", 1),
    ({"kind": "exact"}, "paris", "Paris", 0),
    ({"kind": "exact", "ignore_case": True}, "paris", "Paris", 1),
    ({"kind": "exact"}, "12", 12, 1),
    ({"kind": "contains"}, "It is Paris.", "Paris", 1),
    ({"kind": "contains"}, "It is Rome.", "Paris", 0),
    ({"kind": "number"}, "So she pays $1,200.50.", "text\n#### 1200.5", 1),
    ({"kind": "number"}, "12 or 13", "#### 12", 0),
    ({"kind": "number"}, "no idea", "#### 12", 0),
    ({"kind": "number"}, "it is -3", -3, 1),
    ({"kind": "number"}, "0.1", 0.1, 1),
    ({"kind": "regex"}, "b7", r"^[a-c]\d$", 1),
    ({"kind": "regex", "pattern": r"answer: (\w+)"}, "the answer: yes", "yes", 1),
    ({"kind": "regex", "pattern": r"answer: (\w+)"}, "yes", "yes", 0),
    ({"kind": "json"}, '{"b": 1.0, "a": [true]}', {"a": [True], "b": 1}, 1),
    ({"kind": "json"}, "[1]", [True], 0),
    ({"kind": "json"}, '{"a": 1', {"a": 1}, 0),
    ({"kind": "json"}, "[" * 100_000, [], 0),
]


@pytest.mark.parametrize(("fields", "answer", "expected", "score"), CASES, ids=[f"case{n}" for n in range(len(CASES))])
def test_an_answer_is_scored(fields: dict[str, Any], answer: str, expected: JsonValue, score: float) -> None:
    assert scorer(Metric.model_validate(fields))(answer, expected, "") == score


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "exact", "pattern": "(a)"},
        {"kind": "json", "ignore_case": True},
        {"kind": "python"},
        {"kind": "exact", "function": "a.py:b"},
        {"kind": "regex", "pattern": "("},
        {"kind": "regex", "pattern": "no group"},
        {"kind": "guess"},
    ],
    ids=str,
)
def test_a_metric_whose_fields_do_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Metric.model_validate(fields)


@pytest.mark.parametrize(("kind", "expected"), [("number", "none"), ("regex", "(")], ids=["number", "regex"])
def test_what_is_expected_must_suit_the_metric(kind: str, expected: str) -> None:
    with pytest.raises(InvalidRequest, match=r"expected|number"):
        check(Metric.model_validate({"kind": kind}), [expected])


PYTHON = {
    "raises when loaded": ("1 / 0", "does not load"),
    "has no such function": ("other = 1", "no function"),
}


@pytest.mark.parametrize(("text", "said"), PYTHON.values(), ids=PYTHON)
def test_a_metric_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.py").write_text(text)
    metric = Metric.model_validate({"kind": "python", "function": "m.py:score", "folder": str(tmp_path)})
    with pytest.raises(InvalidRequest, match=said):
        check(metric, [])


@pytest.mark.parametrize("value", ["2", "-0.1", "float('nan')", "'x'", "None"])
def test_a_python_metric_that_returns_no_score_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "m.py").write_text(f"def score(answer, expected, asked):\n    return {value}\n")
    score = scorer(Metric.model_validate({"kind": "python", "function": "m.py:score", "folder": str(tmp_path)}))
    with pytest.raises(InvalidRequest, match="metric"):
        score("answer", "expected", "input")
