"""Which tools an answer calls, as callers say it."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw import InvalidRequest
from quickthaw.choosing import tool_choice_fields

ADD_ONCE = {"tool_choice": "required", "allowed_tools": ["add"], "parallel_tool_calls": False}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (None, {}),
        ("none", {"tool_choice": "none"}),
        ("add", ADD_ONCE),
        ({"type": "function", "function": {"name": "add"}}, ADD_ONCE),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "add"}}]},
            },
            {"tool_choice": "auto", "allowed_tools": ["add"]},
        ),
    ],
)
def test_a_choice_of_tools_becomes_fields(given: object, fields: dict[str, Any]) -> None:
    assert tool_choice_fields(given) == fields


@pytest.mark.parametrize(
    "given",
    [
        7,
        {"type": "custom"},
        {"type": "function"},
        {"type": "function", "function": {}},
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": {"mode": "some", "tools": []}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": None}},
    ],
)
def test_any_other_choice_is_refused(given: object) -> None:
    with pytest.raises(InvalidRequest, match="tool_choice must be"):
        tool_choice_fields(given)
