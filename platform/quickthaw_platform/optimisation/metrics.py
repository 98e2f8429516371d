"""How an answer is scored: a number from 0 (wrong) to 1 (right)."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.optimisation.template import as_text

_NUMBER = re.compile(r"-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_FINAL = "####"
"""Before the final answer of GSM8K's rows (Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems")."""

Score = Callable[[str, JsonValue, JsonValue], float]
"""(answer, expected, input) to a score."""

Kind = Literal["exact", "contains", "number", "regex", "json", "loglikelihood", "python"]


class Metric(BaseModel):
    """Which way to score, and what it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind
    ignore_case: bool = Field(False, description="for exact, contains and regex")
    pattern: str | None = Field(
        None,
        description="for regex: its first group is what is compared; None: `expected` is the pattern",
    )
    function: str | None = Field(None, description="for python: FILE:NAME, the file relative to the task's")
    folder: str = Field(".", exclude=True)

    @model_validator(mode="after")
    def _fitting(self) -> Metric:
        if self.pattern is not None and self.kind != "regex":
            raise ValueError("pattern is for the kind regex")
        if self.ignore_case and self.kind not in ("exact", "contains", "regex"):
            raise ValueError("ignore_case is for the kinds exact, contains and regex")
        if (self.function is None) == (self.kind == "python"):
            raise ValueError("function (FILE:NAME) belongs to the kind python, and to it alone")
        if self.pattern is not None and _compiled(self.pattern).groups < 1:
            raise ValueError("pattern needs a group, whose text is compared")
        return self


class MetricRaised(InvalidRequest):
    """A metric raised, or returned what is no score. The answers are kept: mend it and go on with --resume."""

    default_code = "metric_raised"


def scorer(metric: Metric) -> Score:
    """Return what scores answers; a log-likelihood needs none, as the call itself brings its score."""
    match metric.kind:
        case "exact":
            return lambda answer, expected, _: float(_same(answer, as_text(expected), metric.ignore_case))
        case "contains":
            return lambda answer, expected, _: float(
                _folded(as_text(expected), metric.ignore_case) in _folded(answer, metric.ignore_case)
            )
        case "number":
            return lambda answer, expected, _: float(last_number(answer) == expected_number(expected))
        case "regex":
            return lambda answer, expected, _: float(_matches(metric, answer, as_text(expected)))
        case "json":
            return lambda answer, expected, _: float(_equal(answer, expected))
        case "python":
            return _checked(_loaded(metric))
        case "loglikelihood":
            return _no_answer


def check(metric: Metric, expected: Sequence[JsonValue]) -> None:
    """Raise InvalidRequest where what is expected does not suit the metric, or the metric's file does not load."""
    scorer(metric)
    for value in expected:
        if metric.kind == "number":
            expected_number(value)
        elif metric.kind == "regex" and metric.pattern is None:
            _matches(metric, "", as_text(value))


def last_number(text: str) -> Decimal | None:
    """Return the last number in a text, commas between thousands left out; None where there is none."""
    found = _NUMBER.findall(text)
    try:
        return Decimal(found[-1].replace(",", "")) if found else None
    except InvalidOperation:
        return None


def expected_number(expected: JsonValue) -> Decimal:
    """Return the number that is expected: what stands behind `####`, else the last one. InvalidRequest if none."""
    number = last_number(as_text(expected).rpartition(_FINAL)[2])
    if number is None:
        raise MetricRaised(f"the metric number needs a number in what is expected, not {expected!r}", param="expected")
    return number


def _no_answer(*_: object) -> float:
    raise AssertionError("a log-likelihood is scored by the call")


def _folded(text: str, ignore_case: bool) -> str:
    return text.casefold() if ignore_case else text


def _same(answer: str, expected: str, ignore_case: bool) -> bool:
    return _folded(answer, ignore_case).strip() == _folded(expected, ignore_case).strip()


def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    try:
        return re.compile(pattern, flags)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


def _matches(metric: Metric, answer: str, expected: str) -> bool:
    flags = re.IGNORECASE if metric.ignore_case else 0
    if metric.pattern is not None:
        found = _compiled(metric.pattern, flags).search(answer)
        return found is not None and _same(found[1] or "", expected, metric.ignore_case)
    try:
        return _compiled(expected, flags).search(answer) is not None
    except ValueError as error:
        raise MetricRaised(f"expected: {error}", param="expected") from error


def _equal(answer: str, expected: JsonValue) -> bool:
    """Compare as JSON: 1 and true differ, 1 and 1.0 do not, nor does the order of keys."""
    try:
        return _canonical(json.loads(answer)) == _canonical(expected)
    except (ValueError, RecursionError):
        return False


def _canonical(value: JsonValue) -> object:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return (isinstance(value, bool), value)


def _loaded(metric: Metric) -> Score:
    """Import the function of a Python metric from its file."""
    file, _, name = str(metric.function).rpartition(":")
    path = Path(metric.folder) / file
    spec = importlib.util.spec_from_file_location("quickthaw_metric", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise InvalidRequest(f'metric: there is no Python file {path}; write function = "FILE.py:NAME"', param="metric")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise MetricRaised(f"{path} does not load: {type(error).__name__}: {error}", param="metric") from error
    found: Score | None = getattr(module, name, None)
    if not callable(found):
        raise InvalidRequest(f"metric: {path} has no function {name!r}", param="metric")
    return found


def _checked(score: Score) -> Score:
    def checked(answer: str, expected: JsonValue, asked: JsonValue) -> float:
        try:
            value = float(score(answer, expected, asked))
        except Exception as error:
            raise MetricRaised(
                f"the metric raised {type(error).__name__}: {error}, for the answer {answer[:80]!r} to the input "
                f"{as_text(asked)[:80]!r}; mend it and go on with --resume: what was answered is kept",
                param="metric",
            ) from error
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise MetricRaised(f"the metric returned {value} for the answer {answer[:80]!r}; scores are from 0 to 1")
        return value

    return checked
