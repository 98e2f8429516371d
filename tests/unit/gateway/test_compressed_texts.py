"""Which texts of a call are shortened, by which setting, and to what aim."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from quickthaw.compression import about_tokens
from quickthaw.types import Compress, Compression
from quickthaw_platform.gateway.prompt_compression.setting import EXACT, NO_TEXT, TOKEN_IDS, obstacle, setting_of
from quickthaw_platform.gateway.prompt_compression.shortening import shares, shorten, summed_up, verified
from quickthaw_platform.gateway.prompt_compression.texts import LEAST_CHARACTERS, Text, question_of, replaced, texts_of

SENTENCES = [
    "The committee met again in the old town hall and it talked about the plans for the new bridge over the river.",
    "Many of the people who were there said that they would rather like to have the old ferry back again some day.",
    "It was then decided by nearly all of the members that the whole matter should be looked at once more in spring.",
]
LONG = " ".join(SENTENCES)
QUESTION = "What was decided?"
CONTEXT = f"{LONG}\n\n{QUESTION}"


def message(role: str, content: Any = LONG) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_users_and_tools_texts_are_shortened_and_nobody_elses() -> None:
    messages = [message(role) for role in ("system", "user", "assistant", "tool", "user")]
    assert [text.path[1] for text in texts_of({"messages": messages})] == [1, 3, 4]


def test_short_texts_are_left_alone() -> None:
    assert texts_of({"messages": [message("user", "x" * (LEAST_CHARACTERS - 1))], "prompt": "short"}) == []


def test_the_last_paragraph_of_the_last_user_message_is_its_question() -> None:
    earlier, last = texts_of({"messages": [message("user", CONTEXT), message("user", CONTEXT), message("tool", LONG)]})[
        :2
    ]
    assert (earlier.question, last.question) == (None, QUESTION)


def test_a_last_paragraph_that_is_most_of_the_text_is_not_taken_for_the_question() -> None:
    assert question_of(f"{QUESTION}\n\n{LONG}") is None
    assert question_of(LONG) is None


def test_text_parts_are_shortened_each_and_the_last_one_of_the_question_stays() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    parts = [{"type": "text", "text": LONG}, image, {"type": "text", "text": LONG}]
    first, last = texts_of({"messages": [message("user", parts)]})
    assert first == Text(("messages", 0, "content", 0, "text"), LONG)
    assert last == Text(("messages", 0, "content", 2, "text"), LONG, question=LONG)


def test_what_a_functions_prompts_begin_with_stays_whole() -> None:
    (text,) = texts_of({"prompt": "You are terse. " + LONG}, "You are terse. ")
    assert (text.whole, text.body) == (15, LONG)


@pytest.mark.parametrize(
    "input",
    [
        pytest.param({"prompt": [1, 2, 3]}, id="token ids"),
        pytest.param({"messages": "no list"}, id="messages that are none"),
        pytest.param({"messages": [None, 3, {"role": "user"}, {"role": ["user"], "content": LONG}]}, id="odd messages"),
        pytest.param(
            {"messages": [message("user", [None, {"type": "text"}, {"type": "text", "text": 3}])]}, id="parts"
        ),
    ],
)
def test_what_is_no_text_is_left_alone(input: dict[str, Any]) -> None:
    assert texts_of(input) == []


def test_other_texts_take_their_places_in_a_copy() -> None:
    input: dict[str, Any] = {
        "messages": [message("user", [{"type": "text", "text": "a"}]), message("user", "b")],
        "n": 1,
    }
    changed = replaced(input, {("messages", 0, "content", 0, "text"): "x", ("messages", 1, "content"): "y"})
    assert changed == {"messages": [message("user", [{"type": "text", "text": "x"}]), message("user", "y")], "n": 1}
    assert input["messages"][1] == message("user", "b")


def test_the_calls_setting_wins_over_the_functions() -> None:
    half, tenth = Compression(ratio=0.5), Compression(ratio=0.1)
    assert setting_of(None, half) == half
    assert setting_of(tenth, half) == tenth
    assert setting_of(False, half) is None
    assert setting_of(None, None) is None


@pytest.mark.parametrize(
    ("input", "sampling", "reason"),
    [
        ({"prompt": [1]}, {}, TOKEN_IDS),
        ({"prompt": "x"}, {"echo": True}, EXACT),
        ({"prompt": "x", "suffix": "y"}, {}, EXACT),
        ({"input": "x"}, {}, NO_TEXT),
        ({"prompt": "x"}, {}, None),
        ({"messages": []}, {}, None),
    ],
)
def test_some_calls_must_stay_as_they_are(input: Any, sampling: Any, reason: str | None) -> None:
    assert obstacle(input, sampling) == reason


def test_texts_become_about_as_short_as_was_asked_for_and_keep_their_question() -> None:
    (found,) = shorten([(CONTEXT, QUESTION)], 0.5, None)
    assert found.reason == "compressed"
    assert found.text.endswith(QUESTION)
    assert 0.3 < about_tokens(found.text) / about_tokens(CONTEXT) <= 0.51


def test_a_budget_is_shared_in_proportion() -> None:
    assert shares([300, 100], 200) == [150, 50]
    assert shares([1000, 1], 10) == [9, 1]
    assert shares([0], 10) == [1]


@pytest.mark.parametrize(
    ("reasons", "whole"),
    [
        ([], "short"),
        (["short", "compressed"], "compressed"),
        (["compressed", "protected"], "partly"),
        (["protected", "lost_span"], "lost_span"),
        (["too_slow", "too_slow"], "too_slow"),
    ],
)
def test_one_reason_stands_for_all_texts(reasons: list[str], whole: str) -> None:
    assert summed_up(reasons) == whole


def test_what_another_has_shortened_is_taken_only_where_it_has_deleted_and_nothing_else() -> None:
    good, bad, empty = LONG.replace("it talked about ", ""), LONG.replace("spring", "autumn"), ""
    found = verified([(LONG, None)] * 3, [good, bad, empty])
    assert [each.reason for each in found] == ["compressed", "not_a_subsequence", "empty"]
    assert [each.text for each in found] == [good, LONG, LONG]


@pytest.mark.parametrize("value", [0.5, {"ratio": 0.5}, {"ratio": 0.5, "by": "frequency"}])
def test_a_number_is_the_ratio(value: object) -> None:
    assert TypeAdapter(Compress).validate_python(value) == Compression(ratio=0.5)


@pytest.mark.parametrize(
    "value", [0, 1, 1.5, -1, True, "0.5", {}, {"ratio": 0.5, "budget": 9}, {"budget": 0}, {"by": "f"}]
)
def test_what_is_no_aim_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Compress).validate_python(value)
