from __future__ import annotations

from typing import Any

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw_backends.engines.messages import plain_messages


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a"}),
        ({"role": "developer", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),  # a call of tools has none
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "ab"},
        ),
        ({"role": "user", "content": "a", "name": "x"}, {"role": "user", "content": "a", "name": "x"}),  # others stay
    ],
)
def test_messages_become_plain(message: dict[str, Any], plain: dict[str, Any]) -> None:
    assert plain_messages([message]) == [plain]


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([], "messages is empty"),
        ([{"content": "a"}], r"messages\[0\] needs a role"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": 7}], r"messages\[1\]\.content"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], r"content\[0\] has type 'input_audio'"),
        ([{"role": "user", "content": [{"type": "text"}]}], r"content\[0\]"),
    ],
)
def test_the_error_names_the_place(messages: list[dict[str, Any]], place: str) -> None:
    with pytest.raises(InvalidRequest, match=place):
        plain_messages(messages)
