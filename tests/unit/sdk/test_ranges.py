"""Numbers that cannot be are refused where they are given, by their name and with what they may be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quickthaw import App, AsyncClient, Client, FunctionSpec, InvalidRequest
from quickthaw.retry import Backoff
from quickthaw.types import Limits

CENTURY = 100 * 365 * 86_400


@pytest.mark.parametrize("name", ["start", "first_token", "between_tokens", "total"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "greater than 0"),
        ("0s", "greater than 0"),
        (-1, "greater than 0"),
        ("36501d", f"less than or equal to {CENTURY}"),
    ],
)
def test_a_limit_of_no_time_or_of_more_than_a_century_is_refused(name: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}\n.*{said}"):
        Limits.model_validate({name: value})


def test_the_shortest_and_the_longest_limit_are_taken() -> None:
    assert Limits.model_validate({"start": "1ms", "total": CENTURY}).total == CENTURY


def test_no_memory_at_all_is_refused_where_it_was_taken_for_the_default() -> None:
    with pytest.raises(ValueError, match=r"memory\n.*greater than or equal to 1"):
        FunctionSpec.model_validate({"name": "f", "model": "m", "memory": "0MiB"})


@pytest.mark.parametrize("option", ["timeout", "start_timeout", "first_token_timeout", "token_timeout"])
def test_a_timeout_of_a_function_is_refused_by_the_name_of_its_option(option: str) -> None:
    options: Any = {option: 0}
    with pytest.raises(InvalidRequest, match=f"^{option}: Input should be greater than 0"):
        App("demo").function(model="m", **options)(lambda _model: None)


@pytest.mark.parametrize("timeout", [0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_client_without_any_time_for_answers_is_refused(client: Any, timeout: float) -> None:
    with pytest.raises(InvalidRequest, match="timeout must be more than 0 seconds"):
        client("http://127.0.0.1:1", "k", timeout=timeout)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("first_seconds", -0.1),
        ("longest_seconds", math.nan),
        ("longest_retry_after_seconds", math.inf),
    ],
)
def test_a_backoff_that_cannot_be_is_refused_by_its_field(name: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} must be at least"):
        Backoff(**{name: value})  # type: ignore[arg-type]  # one of several types
