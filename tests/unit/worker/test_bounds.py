"""How long answers are: what the function says, where nobody else does, and at most."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Sampling
from quickthaw.types import DEFAULT_MAX_TOKENS, FunctionSpec
from quickthaw_platform.worker.bounds import Bounds

CODE = {"source": {"f.py": ""}, "handler": {"file": "f.py", "object": "f"}}


@pytest.mark.parametrize(
    ("bounds", "asked", "named", "room", "length"),
    [
        (Bounds(), None, False, 100, None),
        (Bounds(), 70, True, 100, 70),
        (Bounds(default=50), None, False, 100, 50),
        (Bounds(default=50), None, True, 100, None),  # -1: as many as the context holds
        (Bounds(default=50), 70, True, 100, 70),  # a default is no ceiling
        (Bounds(default=50), None, False, 20, None),  # the context is shorter, which is no error
        (Bounds(default=50, limit=80), None, True, 100, 80),
        (Bounds(default=50, limit=80), 80, True, 100, 80),
        (Bounds(default=50, limit=80), 0, True, 100, 0),
    ],
)
def test_who_says_how_long_an_answer_is(
    bounds: Bounds, asked: int | None, named: bool, room: int, length: int | None
) -> None:
    applied = bounds.applied(Sampling(max_tokens=asked), names_max_tokens=named, room=room)
    assert applied.max_tokens == length


def test_more_than_the_limit_is_refused_also_where_a_handler_asks() -> None:
    with pytest.raises(InvalidRequest, match="max_tokens 81 is more than this function allows, which is 80"):
        Bounds(limit=80).applied(Sampling(max_tokens=81), names_max_tokens=True, room=100)


@pytest.mark.parametrize(
    ("fields", "default"),
    [
        ({}, DEFAULT_MAX_TOKENS),
        ({"max_tokens": 9}, 9),
        ({"max_tokens_limit": 9}, 9),
        ({"max_tokens": 5, "max_tokens_limit": 9}, 5),
        ({"max_tokens_limit": 10_000}, DEFAULT_MAX_TOKENS),
        (CODE, None),
        ({**CODE, "max_tokens": 9}, 9),
        ({**CODE, "max_tokens_limit": 9}, 9),
    ],
)
def test_the_default_of_a_function(fields: dict[str, Any], default: int | None) -> None:
    spec = FunctionSpec.model_validate({"name": "f", "model": "m", **fields})
    assert spec.default_max_tokens() == default
