"""What a spec accepts beyond the types of its fields."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from quickthaw import FunctionSpec


@pytest.mark.parametrize(
    "fields",
    [
        {"weight": 0},
        {"weight": float("inf")},
        {"target_utilisation": 0},
        {"target_utilisation": 1.1},
        {"device": "cuda:0"},  # a kind, not a place
        {"labels": {"": "a"}},
        {"labels": {"zone": "a,b"}},  # would not survive QUICKTHAW_LABELS
        {"labels": {str(i): "x" for i in range(33)}},
    ],
)
def test_constraints_and_shares_that_cannot_be_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        FunctionSpec(name="f", model="m", **fields)
